//! Commands for many keys: one pipeline for each node, all nodes at a time.

use super::{Cluster, left};
use crate::{
    remote::{
        FORBIDDEN, Failure,
        redis::{
            lanes::Manner,
            node::{Miss, Node},
            shared::Class,
        },
    },
    timer,
};
use redis::{Cmd, Pipeline, Value};
use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

/// The commands for one key. They go to one node, in their order; where the key is elsewhere, all of them
/// go there once more.
pub(in crate::remote::redis) struct Unit {
    pub(in crate::remote::redis) name: Vec<u8>,
    pub(in crate::remote::redis) commands: Vec<Cmd>,
    /// What takes back, at a node that did some of them and leads to another for the others, what it did. A key
    /// that is at both could not be moved.
    pub(in crate::remote::redis) undo: Option<Cmd>,
}

/// The units that go to one node, by their place among all.
struct Part {
    node: Arc<Node>,
    manner: Manner,
    units: Vec<usize>,
}

type Outcome = Result<Vec<Value>, Missed>;

/// Why a unit was not done at a node.
#[derive(Clone)]
struct Missed {
    miss: Miss,
    /// The answers to those of its commands that were, by their place; others are nil.
    done: Vec<Value>,
}

impl From<Miss> for Missed {
    fn from(miss: Miss) -> Self {
        let done = Vec::new();
        Self { miss, done }
    }
}

impl Cluster {
    /// What came of each of the units, in their order. `close` ends the pipeline of a node, for
    /// the units it holds; where what it adds fails, so do they, unless the user may not do that.
    pub(in crate::remote::redis) async fn all(
        self: &Arc<Self>,
        class: Class,
        units: &[Unit],
        close: impl Fn(&mut Pipeline, &[usize]),
        limit: Duration,
    ) -> Vec<Result<Vec<Value>, Failure>> {
        let asked = timer::now();
        let mut outcomes: Vec<Result<Vec<Value>, Failure>> =
            units.iter().map(|_| Err(Failure::Away)).collect();
        let mut parts = Parts::default();
        for (place, unit) in units.iter().enumerate() {
            if let Ok(node) = self.owner(&unit.name) {
                parts.add(node, Manner::Plain, place);
            }
        }
        let mut set = |place: usize, outcome| {
            if let Some(slot) = outcomes.get_mut(place) {
                *slot = outcome;
            }
        };
        let (mut others, mut before) = (Parts::default(), BTreeMap::new());
        for (part, answers) in self.ask_parts(class, parts, units, &close, limit).await {
            let mut halves = Vec::new();
            for (place, answer) in part.units.iter().zip(answers) {
                match answer {
                    Ok(values) => set(*place, Ok(values)),
                    Err(Missed { miss, done }) => match self.follow(&part.node, miss) {
                        Ok((node, manner)) => {
                            others.add(node, manner, *place);
                            if done.iter().any(|value| *value != Value::Nil) {
                                halves.extend(units.get(*place));
                                before.insert(*place, done);
                            }
                        }
                        Err(failure) => set(*place, Err(failure)),
                    },
                }
            }
            undo(&part.node, &halves, left(limit, asked)).await;
        }
        let limit = left(limit, asked);
        for (part, answers) in self.ask_parts(class, others, units, &close, limit).await {
            for (place, answer) in part.units.iter().zip(answers) {
                let before = before.remove(place).unwrap_or_default();
                let answer = answer.map(|values| counted(values, &before));
                set(*place, answer.map_err(|missed| self.ended(missed.miss)));
            }
        }
        outcomes
    }

    async fn ask_parts(
        &self,
        class: Class,
        parts: Parts,
        units: &[Unit],
        close: &impl Fn(&mut Pipeline, &[usize]),
        limit: Duration,
    ) -> Vec<(Part, Vec<Outcome>)> {
        let ask = |part: Part| async move {
            let answers = part.ask(class, units, close, limit).await;
            (part, answers)
        };
        together(parts.0.into_values().map(ask).collect()).await
    }
}

#[derive(Default)]
struct Parts(BTreeMap<(u64, bool), Part>);

impl Parts {
    fn add(&mut self, node: Arc<Node>, manner: Manner, place: usize) {
        let which = (node.id, manner == Manner::Asking);
        let part = self.0.entry(which).or_insert_with(|| Part {
            node,
            manner,
            units: Vec::new(),
        });
        part.units.push(place);
    }
}

impl Part {
    async fn ask(
        &self,
        class: Class,
        units: &[Unit],
        close: &impl Fn(&mut Pipeline, &[usize]),
        limit: Duration,
    ) -> Vec<Outcome> {
        let mut pipeline = redis::pipe();
        let mine = || self.units.iter().filter_map(|place| units.get(*place));
        for command in mine().flat_map(|unit| &unit.commands) {
            if self.manner == Manner::Asking {
                pipeline.cmd("ASKING");
            }
            pipeline.add_command(command.clone());
        }
        close(&mut pipeline, &self.units);
        let mut answers = match self.node.each(class, &pipeline, limit).await {
            Ok(answers) => answers.into_iter(),
            Err(miss) => return mine().map(|_| Err(miss.clone().into())).collect(),
        };
        let ahead = usize::from(self.manner == Manner::Asking);
        let outcomes: Vec<Outcome> = mine()
            .map(|unit| {
                let own = answers.by_ref().take(unit.commands.len() * (1 + ahead));
                // All are taken, also after one that failed: what follows belongs to the next unit.
                let own: Vec<_> = own.skip(ahead).step_by(1 + ahead).collect();
                settled(own)
            })
            .collect();
        match answers
            .filter_map(Result::err)
            .find(|miss| !is_forbidden(miss))
        {
            Some(miss) => outcomes.iter().map(|_| Err(miss.clone().into())).collect(),
            None => outcomes,
        }
    }
}

/// Whether it is that the user may not tell others.
fn is_forbidden(miss: &Miss) -> bool {
    matches!(miss, Miss::Failed(Failure::Refused(code)) if **code == *FORBIDDEN)
}

/// Where one of the answers leads elsewhere, the unit goes there.
fn settled(answers: Vec<Result<Value, Miss>>) -> Outcome {
    let (mut done, mut trouble) = (Vec::with_capacity(answers.len()), None);
    for answer in answers {
        match answer {
            Ok(value) => done.push(value),
            Err(miss) => {
                done.push(Value::Nil);
                let is_followed = matches!(trouble, Some(Miss::Elsewhere(_)));
                if trouble.is_none() || !is_followed && matches!(miss, Miss::Elsewhere(_)) {
                    trouble = Some(miss);
                }
            }
        }
    }
    match trouble {
        None => Ok(done),
        Some(miss) => Err(Missed { miss, done }),
    }
}

/// Takes back what a node did of units that are done elsewhere. Where it does not, they are done all the same.
async fn undo(node: &Arc<Node>, units: &[&Unit], limit: Duration) {
    let mut pipeline = redis::pipe();
    for undo in units.iter().filter_map(|unit| unit.undo.as_ref()) {
        pipeline.add_command(undo.clone());
    }
    if !pipeline.is_empty() {
        let _ = node.each(Class::Small, &pipeline, limit).await;
    }
}

/// What was counted at both nodes is counted together.
fn counted(values: Vec<Value>, before: &[Value]) -> Vec<Value> {
    let mut before = before.iter();
    let sum = |value| match (value, before.next()) {
        (Value::Int(now), Some(Value::Int(then))) => Value::Int(now.saturating_add(*then)),
        (value, _) => value,
    };
    values.into_iter().map(sum).collect()
}

/// Runs all to their ends, side by side; what came of them, in their order.
async fn together<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    enum Running<F: Future> {
        Yet(Pin<Box<F>>),
        Done(Option<F::Output>),
    }
    let mut all: Vec<_> = futures
        .into_iter()
        .map(|future| Running::Yet(Box::pin(future)))
        .collect();
    poll_fn(|cx| {
        let mut is_done = true;
        for running in &mut all {
            if let Running::Yet(future) = running {
                match future.as_mut().poll(cx) {
                    Poll::Ready(output) => *running = Running::Done(Some(output)),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if is_done {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    let output = |running| match running {
        Running::Yet(_) => None,
        Running::Done(output) => output,
    };
    all.into_iter().filter_map(output).collect()
}
