//! Making inputs out of other inputs.

use fastrand::Rng;

/// Long enough for anything quadratic to show.
const LONGEST: usize = 64 * 1024;

/// A source of inputs, the same for the same seed, corpus and dictionary.
pub(crate) struct Mutator {
    random: Rng,
    /// Never empty.
    corpus: Vec<Vec<u8>>,
    dictionary: &'static [&'static [u8]],
}

type Mutation = fn(&mut Mutator, &mut Vec<u8>);

const MUTATIONS: &[Mutation] = &[
    flip_a_bit,
    set_a_byte,
    insert_a_word,
    insert_a_word,
    overwrite_with_a_word,
    insert_noise,
    splice,
    repeat_a_part,
    remove_a_part,
    truncate,
];

impl Mutator {
    pub(crate) fn new(
        seed: u64,
        mut corpus: Vec<Vec<u8>>,
        dictionary: &'static [&'static [u8]],
    ) -> Mutator {
        corpus.push(Vec::new());
        Mutator {
            random: Rng::with_seed(seed),
            corpus,
            dictionary,
        }
    }

    /// Mostly a few changes to something meaningful, sometimes plain noise.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        if self.random.u8(..) < 8 {
            return self.noise(256);
        }
        let mut input = self.pick();
        for _ in 0..self.random.u8(1..=6) {
            let mutate = self.random.choice(MUTATIONS).expect("there are mutations");
            mutate(self, &mut input);
        }
        input.truncate(LONGEST);
        input
    }

    fn pick(&mut self) -> Vec<u8> {
        self.random
            .choice(&self.corpus)
            .expect("the corpus is never empty")
            .clone()
    }

    fn word(&mut self) -> &'static [u8] {
        self.random.choice(self.dictionary).copied().unwrap_or(b",")
    }

    fn noise(&mut self, longest: usize) -> Vec<u8> {
        let length = self.random.usize(..=longest);
        (0..length).map(|_| self.random.u8(..)).collect()
    }

    /// A place to insert at, from the start to after the end.
    fn place(&mut self, input: &[u8]) -> usize {
        self.random.usize(..=input.len())
    }

    /// A part, which may be empty.
    fn part(&mut self, input: &[u8]) -> std::ops::Range<usize> {
        let start = self.place(input);
        start..self.random.usize(start..=input.len())
    }
}

fn flip_a_bit(mutator: &mut Mutator, input: &mut Vec<u8>) {
    let bit = 1 << mutator.random.u8(..8);
    if let Some(byte) = mutator.random.choice(input) {
        *byte ^= bit;
    }
}

fn set_a_byte(mutator: &mut Mutator, input: &mut Vec<u8>) {
    let value = mutator.random.u8(..);
    if let Some(byte) = mutator.random.choice(input) {
        *byte = value;
    }
}

fn insert_a_word(mutator: &mut Mutator, input: &mut Vec<u8>) {
    let (at, word) = (mutator.place(input), mutator.word());
    insert(input, at..at, word);
}

fn overwrite_with_a_word(mutator: &mut Mutator, input: &mut Vec<u8>) {
    let (part, word) = (mutator.part(input), mutator.word());
    insert(input, part, word);
}

fn insert_noise(mutator: &mut Mutator, input: &mut Vec<u8>) {
    let (at, noise) = (mutator.place(input), mutator.noise(8));
    insert(input, at..at, &noise);
}

/// The head of this input, the tail of another.
fn splice(mutator: &mut Mutator, input: &mut Vec<u8>) {
    let mut other = mutator.pick();
    let (head, tail) = (mutator.place(input), mutator.place(&other));
    input.truncate(head);
    input.extend(other.drain(tail..));
}

/// Mostly a few times, now and then as often as the longest input allows.
fn repeat_a_part(mutator: &mut Mutator, input: &mut Vec<u8>) {
    let range = mutator.part(input);
    let Some(part) = input.get(range.clone()).filter(|part| !part.is_empty()) else {
        return;
    };
    let most = if mutator.random.u8(..) == 0 {
        LONGEST / part.len()
    } else {
        8
    };
    let repeated = part.repeat(mutator.random.usize(2..=most.max(2)));
    insert(input, range, &repeated);
}

fn remove_a_part(mutator: &mut Mutator, input: &mut Vec<u8>) {
    input.drain(mutator.part(input));
}

fn truncate(mutator: &mut Mutator, input: &mut Vec<u8>) {
    input.truncate(mutator.place(input));
}

fn insert(input: &mut Vec<u8>, part: std::ops::Range<usize>, bytes: &[u8]) {
    input.splice(part, bytes.iter().copied());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutator(seed: u64) -> Mutator {
        Mutator::new(seed, vec![b"max-age=60, public".to_vec()], &[b"no-store"])
    }

    fn some(seed: u64) -> Vec<Vec<u8>> {
        let mut mutator = mutator(seed);
        (0..20_000).map(|_| mutator.next()).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        assert_eq!(some(1), some(1));
        assert_ne!(some(1), some(2));
    }

    #[test]
    fn inputs_are_bounded_and_of_every_kind() {
        let inputs = some(3);
        let any = |is: fn(&[u8]) -> bool| inputs.iter().any(|input| is(input));
        assert!(inputs.iter().all(|input| input.len() <= LONGEST));
        assert!(any(|input| input.is_empty()), "an empty one");
        assert!(any(|input| input.len() > 10_000), "a long one");
        assert!(
            any(|input| input.contains(&0xff)),
            "one with arbitrary bytes"
        );
        assert!(
            any(|input| input.windows(8).any(|part| part == b"no-store")),
            "one with a word"
        );
    }

    #[test]
    fn every_mutation_bears_an_empty_input() {
        let mut mutator = Mutator::new(4, Vec::new(), &[]);
        for mutate in MUTATIONS {
            for _ in 0..100 {
                mutate(&mut mutator, &mut Vec::new());
            }
        }
    }
}
