//! The literal levels of an index, numbered.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::slab::Slab;

/// Numbers for strings: equal strings have equal numbers for as long as they are in use.
pub(super) struct Words {
    words: Slab<Word>,
    numbers: HashTable<u32>,
    hasher: FixedState,
}

#[derive(Default)]
struct Word {
    string: Short,
    uses: u32,
}

/// A string; where the string is short, without a detour over a pointer.
enum Short {
    Here { len: u8, bytes: [u8; Short::ROOM] },
    Elsewhere(Box<[u8]>),
}

impl Words {
    pub(super) const fn new(hasher: FixedState) -> Words {
        Words { words: Slab::new(), numbers: HashTable::new(), hasher }
    }

    /// The string's number, if it is in use.
    pub(super) fn find(&self, string: &str) -> Option<u32> {
        let string = string.as_bytes();
        self.numbers.find(self.hasher.hash_one(string), |&number| self.words[number].bytes() == string).copied()
    }

    /// The string's number, which is in use once more.
    pub(super) fn acquire(&mut self, string: &str) -> u32 {
        let number = self.find(string).unwrap_or_else(|| {
            let number = self.words.insert(Word { string: Short::from(string.as_bytes()), uses: 0 });
            self.enter(number);
            number
        });
        self.words[number].uses += 1;
        number
    }

    /// Ends one use of the number.
    pub(super) fn release(&mut self, number: u32) {
        let word = &mut self.words[number];
        word.uses -= 1;
        if word.uses == 0 {
            let hash = self.hasher.hash_one(word.bytes());
            if let Ok(entry) = self.numbers.find_entry(hash, |&other| other == number) {
                entry.remove();
            }
            self.words.remove(number);
        }
    }

    /// How many numbers there are, in use or not.
    pub(super) fn places(&self) -> usize {
        self.words.places()
    }

    /// How many numbers are not in use.
    pub(super) fn free(&self) -> usize {
        self.words.free()
    }

    /// Gives memory back that is no longer needed. Returns the new number for every old one.
    pub(super) fn compact(&mut self) -> Vec<u32> {
        let moved = self.words.compact();
        self.numbers = HashTable::new();
        for number in self.words.ids() {
            self.enter(number);
        }
        moved
    }

    fn enter(&mut self, number: u32) {
        let hash = |&number: &u32| self.hasher.hash_one(self.words[number].bytes());
        self.numbers.insert_unique(hash(&number), number, hash);
    }
}

impl Word {
    fn bytes(&self) -> &[u8] {
        match &self.string {
            Short::Here { len, bytes } => &bytes[..usize::from(*len)],
            Short::Elsewhere(bytes) => bytes,
        }
    }
}

impl Short {
    const ROOM: usize = 22;
}

impl From<&[u8]> for Short {
    fn from(string: &[u8]) -> Short {
        match u8::try_from(string.len()) {
            Ok(len) if string.len() <= Short::ROOM => {
                let mut bytes = [0; Short::ROOM];
                bytes[..string.len()].copy_from_slice(string);
                Short::Here { len, bytes }
            }
            _ => Short::Elsewhere(string.into()),
        }
    }
}

impl Default for Short {
    fn default() -> Short {
        Short::Here { len: 0, bytes: [0; Short::ROOM] }
    }
}
