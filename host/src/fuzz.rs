//! Everything that reads what others wrote, on input that nobody would write: pieces of sound documents, changed at random.
//!
//! Each case comes from a seed and a number alone, so that what was found is found again: `cargo xtask fuzz --seed N`. What
//! breaks is cut down before it is shown. A slice of it is part of the tests; `cargo xtask fuzz --seconds N` takes its time.

mod readers;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use readers::{READERS, Reader};

/// A case that takes longer is a find: whoever can send such a text can stop the program.
const LONGEST_CASE: Duration = Duration::from_secs(3);
const LONGEST_INPUT: usize = 16 << 10;
const CHANGES: u64 = 8;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn of_case(seed: u64, number: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.wrapping_mul(0xd1b5_4a32_d192_ed03))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `limit`, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("below a usize")
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// A part of `text`, which may be empty.
    fn range(&mut self, text: &[u8]) -> std::ops::Range<usize> {
        let start = self.below(text.len() + 1);
        let most = (text.len() - start).min(64);
        start..start + self.below(most + 1)
    }
}

/// The input of one case.
fn input(reader: &Reader, samples: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut text = random.pick(samples).clone();
    for _ in 0..=random.next() % CHANGES {
        match random.next() % 8 {
            0 => {
                let range = random.range(&text);
                drop(text.drain(range));
            }
            1 => {
                let part = text[random.range(&text)].to_vec();
                let at = random.below(text.len() + 1);
                drop(text.splice(at..at, part));
            }
            2 => {
                let other = random.pick(samples);
                let part = other[random.range(other)].to_vec();
                let range = random.range(&text);
                drop(text.splice(range, part));
            }
            3 if !text.is_empty() => {
                let at = random.below(text.len());
                text[at] ^= 1 << random.below(8);
            }
            4 => text.truncate(random.below(text.len() + 1)),
            5 => {
                let word = random.pick(reader.words).as_bytes().repeat(1 + random.below(200));
                let at = random.below(text.len() + 1);
                drop(text.splice(at..at, word));
            }
            _ => {
                let word = random.pick(reader.words).as_bytes();
                let range = random.range(&text);
                drop(text.splice(range, word.iter().copied()));
            }
        }
        text.truncate(LONGEST_INPUT);
    }
    text
}

/// What is wrong with how an input was read, if anything.
fn verdict(reader: &Reader, input: &[u8]) -> Result<(), String> {
    let started = Instant::now();
    match catch_unwind(AssertUnwindSafe(|| (reader.read)(input))) {
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("panicked: {}", text.unwrap_or_default()))
        }
        Ok(Err(why)) => Err(why),
        Ok(Ok(())) if started.elapsed() > LONGEST_CASE => Err(format!("took {:?}", started.elapsed())),
        Ok(Ok(())) => Ok(()),
    }
}

/// The least of it that is still wrong: parts are left out as long as that is so.
fn shrunk(reader: &Reader, mut input: Vec<u8>) -> Vec<u8> {
    let until = Instant::now() + Duration::from_secs(20);
    let mut part = input.len() / 2;
    while part > 0 && Instant::now() < until {
        let mut at = 0;
        while at < input.len() {
            let mut less = input.clone();
            less.drain(at..(at + part).min(input.len()));
            if verdict(reader, &less).is_err() { input = less } else { at += part }
        }
        part /= 2;
    }
    input
}

/// Runs cases until `more` says that it is enough, and answers with how many.
fn run(reader: &Reader, seed: u64, mut more: impl FnMut(u64) -> bool) -> u64 {
    let samples = (reader.samples)();
    let mut number = 0;
    while more(number) {
        let input = input(reader, &samples, &mut Random::of_case(seed, number));
        if verdict(reader, &input).is_err() {
            let input = shrunk(reader, input);
            let why = verdict(reader, &input).err().unwrap_or_default();
            let mut hex = String::new();
            for byte in &input {
                let _ = write!(hex, "{byte:02x}");
            }
            let text = String::from_utf8_lossy(&input);
            panic!("{}: seed {seed}, case {number}: {why}\n{text:?}\n{hex}", reader.name);
        }
        number += 1;
    }
    number
}

#[test]
fn a_slice_of_every_reader() {
    let until = Duration::from_secs(2);
    for reader in READERS {
        let started = Instant::now();
        // As many as there are in the time, so that a slow machine is not held up; at least some.
        let cases = run(reader, 1, |number| number < 300 || (number < 20_000 && started.elapsed() < until));
        assert!(cases >= 300, "{}", reader.name);
    }
}

#[test]
fn the_samples_are_sound_and_the_readers_take_them() {
    for reader in READERS {
        for sample in (reader.samples)() {
            assert_eq!(verdict(reader, &sample), Ok(()), "{}: {:?}", reader.name, String::from_utf8_lossy(&sample));
            assert!((reader.takes)(&sample), "{}: {:?}", reader.name, String::from_utf8_lossy(&sample));
        }
    }
}

#[test]
fn what_is_found_is_found_again_and_cut_down() {
    fn breaks(input: &[u8]) -> Result<(), String> {
        if input.windows(2).any(|pair| pair == b"]]") { Err("two brackets".to_owned()) } else { Ok(()) }
    }
    let reader = Reader {
        name: "broken",
        samples: || vec![b"[1, [2], {}]".to_vec()],
        words: &["]", "x"],
        takes: |_| true,
        read: breaks,
    };
    let found = || catch_unwind(AssertUnwindSafe(|| run(&reader, 7, |number| number < 10_000)));
    let message = |found: std::thread::Result<u64>| *found.expect_err("found").downcast::<String>().expect("a message");
    let first = message(found());
    assert_eq!(first, message(found()));
    assert!(first.contains("broken: seed 7, case ") && first.ends_with("\"]]\"\n5d5d"), "{first}");
}

/// `cargo xtask fuzz`: FUZZ_SECONDS for all readers together, from FUZZ_SEED on.
#[test]
#[ignore = "it takes as long as one likes: cargo xtask fuzz"]
fn as_long_as_one_likes() {
    let variable = |name, default| std::env::var(name).map_or(default, |text| text.parse::<u64>().expect("a number"));
    let seconds = variable("FUZZ_SECONDS", 60);
    let seed = variable("FUZZ_SEED", 1);
    let each = Duration::from_secs(seconds) / u32::try_from(READERS.len()).expect("few");
    for reader in READERS {
        let started = Instant::now();
        let cases = run(reader, seed, |_| started.elapsed() < each);
        println!("{:<16} {cases:>9} cases, seed {seed}", reader.name);
    }
}
