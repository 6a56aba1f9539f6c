//! Byte-pair merges, learnt from counted words; the same merges for the same counts on any machine.
//!
//! The trainer of the `tokenizers` crate walks hash maps, whose order differs from run to run and shows in ties.
//! Here words are walked in their order, and of two pairs seen equally often the one whose parts are older wins.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

/// A vocabulary and the merges that build it, in the order they apply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Merges {
    /// The tokens; a token's place is its id.
    pub(super) tokens: Vec<String>,
    /// Left and right part of each merge.
    pub(super) merges: Vec<(String, String)>,
}

type Pair = (u32, u32);

struct Word {
    symbols: Vec<u32>,
    count: u64,
}

struct Learner {
    tokens: Vec<String>,
    ids: HashMap<String, u32>,
    words: Vec<Word>,
    counts: HashMap<Pair, u64>,
    /// Words that hold, or once held, a pair.
    places: HashMap<Pair, BTreeSet<usize>>,
    /// Pairs by count, then by age; an entry whose count is out of date is passed over.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
}

/// Learns merges until there are `tokens_max` tokens or no pair is seen `frequency_min` times. `specials` have the
/// first ids, `alphabet` the next ones; characters of `words` outside it are left out.
pub(super) fn learn(
    words: &BTreeMap<String, u64>,
    specials: &[&str],
    alphabet: &BTreeSet<char>,
    (tokens_max, frequency_min): (usize, u64),
) -> Merges {
    let mut learner = Learner::new(words, specials, alphabet);
    let mut merges = Vec::new();
    while learner.tokens.len() < tokens_max {
        let Some(pair) = learner.pop(frequency_min.max(1)) else { break };
        merges.push(learner.merge(pair));
    }
    Merges { tokens: learner.tokens, merges }
}

impl Learner {
    fn new(words: &BTreeMap<String, u64>, specials: &[&str], alphabet: &BTreeSet<char>) -> Self {
        let tokens: Vec<String> =
            specials.iter().map(ToString::to_string).chain(alphabet.iter().map(char::to_string)).collect();
        let ids: HashMap<String, u32> = (0..).zip(&tokens).map(|(id, token)| (token.clone(), id)).collect();
        let words = words
            .iter()
            .map(|(word, &count)| Word {
                symbols: word
                    .chars()
                    .filter_map(|symbol| ids.get(symbol.to_string().as_str()).copied())
                    .collect(),
                count,
            })
            .collect();
        let mut learner = Self {
            tokens,
            ids,
            words,
            counts: HashMap::new(),
            places: HashMap::new(),
            queue: BinaryHeap::new(),
        };
        for place in 0..learner.words.len() {
            learner.count_in(place);
        }
        learner.queue = learner.counts.iter().map(|(&pair, &count)| (count, Reverse(pair))).collect();
        learner
    }

    fn count_in(&mut self, place: usize) {
        let Some(word) = self.words.get(place) else { return };
        for pair in word.symbols.iter().copied().zip(word.symbols.iter().copied().skip(1)) {
            *self.counts.entry(pair).or_default() += word.count;
            self.places.entry(pair).or_default().insert(place);
        }
    }

    fn count_out(&mut self, place: usize, changed: &mut BTreeSet<Pair>) {
        let Some(word) = self.words.get(place) else { return };
        for pair in word.symbols.iter().copied().zip(word.symbols.iter().copied().skip(1)) {
            if let Some(count) = self.counts.get_mut(&pair) {
                *count -= word.count;
            }
            changed.insert(pair);
        }
    }

    /// The most frequent pair, if it is frequent enough.
    fn pop(&mut self, frequency_min: u64) -> Option<Pair> {
        while let Some((count, Reverse(pair))) = self.queue.pop() {
            if self.counts.get(&pair) == Some(&count) {
                return (count >= frequency_min).then_some(pair);
            }
        }
        None
    }

    fn merge(&mut self, pair: Pair) -> (String, String) {
        let part = |id: u32| self.tokens.get(id as usize).cloned().unwrap_or_default();
        let parts = (part(pair.0), part(pair.1));
        let merged = format!("{}{}", parts.0, parts.1);
        // Two pairs may spell the same token ("ab"+"c", "a"+"bc"): it has one id.
        let next_id = u32::try_from(self.tokens.len()).unwrap_or(u32::MAX);
        let id = *self.ids.entry(merged.clone()).or_insert(next_id);
        if id == next_id {
            self.tokens.push(merged);
        }
        let mut changed = BTreeSet::new();
        for place in self.places.remove(&pair).unwrap_or_default() {
            self.count_out(place, &mut changed);
            if let Some(word) = self.words.get_mut(place) {
                word.symbols = replaced(&word.symbols, pair, id);
                changed.extend(word.symbols.iter().copied().zip(word.symbols.iter().copied().skip(1)));
            }
            self.count_in(place);
        }
        for pair in changed {
            match self.counts.get(&pair) {
                Some(0) => {
                    self.counts.remove(&pair);
                }
                Some(&count) => self.queue.push((count, Reverse(pair))),
                None => {}
            }
        }
        parts
    }
}

/// The symbols with each occurrence of the pair, from the left, made one.
fn replaced(symbols: &[u32], pair: Pair, id: u32) -> Vec<u32> {
    let mut out = Vec::with_capacity(symbols.len());
    let mut rest = symbols.iter().copied().peekable();
    while let Some(symbol) = rest.next() {
        let pairs = symbol == pair.0 && rest.next_if_eq(&pair.1).is_some();
        out.push(if pairs { id } else { symbol });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(words: &[(&str, u64)], tokens_max: usize, frequency_min: u64) -> Merges {
        let words: BTreeMap<String, u64> =
            words.iter().map(|&(word, count)| (word.to_owned(), count)).collect();
        let alphabet = words.keys().flat_map(|word| word.chars()).collect();
        learn(&words, &[], &alphabet, (tokens_max, frequency_min))
    }

    fn spelt(merges: &Merges) -> Vec<String> {
        merges.merges.iter().map(|(left, right)| format!("{left}+{right}")).collect()
    }

    #[test]
    fn the_most_frequent_pair_merges_first() {
        let merges = learnt(&[("hug", 10), ("pug", 5), ("pun", 12), ("bun", 4), ("hugs", 5)], 10, 1);
        // The textbook's example (Sennrich et al. 2016; Hugging Face course): ug 20, un 16, hug 15.
        assert_eq!(spelt(&merges), ["u+g", "u+n", "h+ug"]);
        assert_eq!(merges.tokens[7..], ["ug", "un", "hug"]);
    }

    #[test]
    fn rare_pairs_stay_apart_and_runs_merge_from_the_left() {
        assert!(learnt(&[("ab", 1)], 10, 2).merges.is_empty());
        assert_eq!(spelt(&learnt(&[("aaaaa", 3)], 3, 1)), ["a+a", "aa+a"]);
        assert_eq!(replaced(&[1, 1, 1], (1, 1), 2), [2, 1]);
    }

    #[test]
    fn a_token_spelt_by_two_pairs_has_one_id() {
        let merges = learnt(&[("abc", 9), ("bcx", 50), ("bcy", 50), ("ab", 70), ("abcz", 30)], 40, 1);
        let mut unique = merges.tokens.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), merges.tokens.len());
    }

    #[test]
    fn counts_stay_those_of_the_words() {
        let words = [("banana", 3), ("bandana", 2), ("ananas", 4), ("nab", 1)];
        let words: BTreeMap<String, u64> = words.map(|(word, count)| (word.to_owned(), count)).into();
        let alphabet = words.keys().flat_map(|word| word.chars()).collect();
        let mut learner = Learner::new(&words, &[], &alphabet);
        while let Some(pair) = learner.pop(1) {
            learner.merge(pair);
            let mut counts: BTreeMap<Pair, u64> = BTreeMap::new();
            for word in &learner.words {
                for pair in word.symbols.windows(2) {
                    *counts.entry((pair[0], pair[1])).or_default() += word.count;
                }
            }
            let kept: BTreeMap<Pair, u64> =
                learner.counts.iter().filter(|(_, count)| **count > 0).map(|(p, c)| (*p, *c)).collect();
            assert_eq!(kept, counts);
        }
        assert!(learner.words.iter().all(|word| word.symbols.len() == 1), "every word became one token");
    }
}
