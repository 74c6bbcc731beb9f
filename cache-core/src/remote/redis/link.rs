//! The one connection over which changes are told.
//!
//! It speaks RESP3. The server tells over it every write under the prefix (tracking in broadcast
//! mode), and, as messages of one channel, leases that ended. Questions for the time go over it as
//! well: since all answers come in order, an answer proves that whatever happened before the question
//! has been told.

use crate::{
    remote::{
        Notice,
        redis::{
            answers::server_time,
            lanes::{ask, reason},
            names::Meaning,
            node::{Node, Place},
        },
    },
    timer,
};
use redis::{
    Client, ProtocolVersion, PushInfo, PushKind, RedisError, Value, aio::MultiplexedConnection,
};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::sync::Notify;

/// A question on the link that takes longer is its end.
const SILENCE: Duration = Duration::from_millis(750);
/// After a link broke, or could not be made.
const PAUSE: Duration = Duration::from_millis(250);

/// Keeps a link, until the last handle is gone.
pub(super) async fn keep(node: Weak<Node>, wake: Arc<Notify>) {
    loop {
        let Some(strong) = node.upgrade() else {
            return;
        };
        let woken = wake.notified();
        // Before the place: a link to where it was before is not mistaken for one to where it is.
        let turn = strong.turns();
        // The lanes are dialled first: while the server is away that is the one attempt there is.
        let place = strong.place().filter(|_| strong.lanes().is_some());
        if let Some(place) = place {
            let broken = Arc::new(Notify::new());
            match strong.gate.pass(dial(&strong, &place, &broken)).await {
                Ok(link) => {
                    strong.degrade("tracking", false, "");
                    drop(strong);
                    attend(&node, link, &broken, turn).await;
                    doubt(&node).await;
                }
                Err(error) => {
                    strong.degrade(
                        "tracking",
                        true,
                        &format!("memory is not told of changes: {}", reason(&error)),
                    );
                    drop(strong);
                }
            }
        } else {
            drop(strong);
        }
        timer::until(timer::later(timer::now(), PAUSE), woken).await;
    }
}

async fn dial(
    node: &Arc<Node>,
    place: &Place,
    broken: &Arc<Notify>,
) -> Result<MultiplexedConnection, RedisError> {
    let settings = &node.shared.settings;
    let client = Client::open(settings.info(&place.address, ProtocolVersion::RESP3))?;
    let config = settings
        .lane_config()
        .set_response_timeout(Some(settings.connect))
        .set_push_sender(hearer(node, broken));
    let mut link = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    redis::cmd("CLIENT")
        .arg("SETNAME")
        .arg(format!("{}-link", settings.client_name))
        .exec_async(&mut link)
        .await
        // A user may be forbidden to: a name is a convenience.
        .or_else(|error| {
            if error.is_io_error() {
                Err(error)
            } else {
                Ok(())
            }
        })?;
    link.subscribe(node.shared.names.channel()).await?;
    redis::cmd("CLIENT")
        .arg("TRACKING")
        .arg("ON")
        .arg("BCAST")
        .arg("PREFIX")
        .arg(node.shared.names.prefix())
        .exec_async(&mut link)
        .await?;
    Ok(link)
}

/// Asks for the time until there is no answer.
async fn attend(node: &Weak<Node>, link: MultiplexedConnection, broken: &Notify, turn: u64) {
    loop {
        let Some(strong) = node.upgrade() else {
            return;
        };
        let asked = timer::now();
        match ask(link.clone(), &redis::cmd("TIME"), SILENCE).await {
            Some(Ok(answer)) if strong.turns() == turn => {
                let within = timer::now().saturating_duration_since(asked);
                if let Some(time) = server_time(&answer) {
                    strong.heard(time);
                }
                strong.shared.chorus.heard(strong.id, within);
            }
            // Also an answer of the server that requests do not go to any more.
            _ => {
                strong.shared.chorus.lost(strong.id);
                return;
            }
        }
        let pause = timer::later(asked, strong.shared.settings.heartbeat);
        drop(strong);
        if timer::until(pause, broken.notified()).await.is_some() {
            return;
        }
    }
}

/// A link that ended is a sign that the server went away, and while nobody asks for anything the only
/// one.
async fn doubt(node: &Weak<Node>) {
    if let Some(node) = node.upgrade() {
        node.doubt().await;
    }
}

/// Handles what is told, in the order in which it comes, before any later answer is given.
fn hearer(node: &Arc<Node>, broken: &Arc<Notify>) -> impl Fn(PushInfo) -> Result<(), ()> + use<> {
    let (node, broken) = (Arc::downgrade(node), Arc::clone(broken));
    move |told| {
        let node = node.upgrade().ok_or(())?;
        match told.kind {
            PushKind::Invalidate => invalidated(&node, &told.data),
            PushKind::Message => message(&node, &told.data),
            PushKind::Disconnection => {
                node.shared.chorus.lost(node.id);
                broken.notify_one();
            }
            _ => {}
        }
        Ok(())
    }
}

fn invalidated(node: &Node, data: &[Value]) {
    let [Value::Array(names)] = data else {
        // Nil instead of names: everything was flushed.
        node.shared.chorus.tell(Notice::Everything);
        return;
    };
    for name in names {
        if let Value::BulkString(name) = name {
            match node.shared.names.meaning(name) {
                Meaning::Key(key) => node.shared.chorus.tell(Notice::Changed(key)),
                Meaning::Group(group) => node.shared.chorus.tell(Notice::Group(group)),
                Meaning::Nothing => {}
            }
        }
    }
}

/// A message: one byte that says what, then names where it is of some, each with its length in two bytes.
fn message(node: &Node, data: &[Value]) {
    let [_, Value::BulkString(message)] = data else {
        return;
    };
    let Some((kind, mut rest)) = message.split_first() else {
        return;
    };
    if *kind == EVERYTHING {
        node.shared.chorus.tell(Notice::Everything);
        return;
    }
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length));
        let Some((key, after)) = after.split_at_checked(length) else {
            return;
        };
        rest = after;
        match *kind {
            WOKEN => node.shared.chorus.tell(Notice::Woken(key)),
            CHANGED => node.shared.chorus.tell(Notice::Changed(key)),
            _ => return,
        }
    }
}

pub(super) const WOKEN: u8 = b'w';
pub(super) const CHANGED: u8 = b'c';
pub(super) const EVERYTHING: u8 = b'e';

/// The message that says `what` of `keys`.
pub(super) fn message_of<'a>(what: u8, keys: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut message = vec![what];
    for key in keys {
        // Keys are short: longer ones have no name.
        let length = u16::try_from(key.len()).unwrap_or(0);
        message.extend_from_slice(&length.to_le_bytes());
        message.extend_from_slice(key);
    }
    message
}
