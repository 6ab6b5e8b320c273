//! A tree as people have them, and nights in which some of it changes.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Numbers that look random, the same for the same seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % limit.max(1) as u64).unwrap_or(0)
    }

    /// From 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    pub fn share(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Around 0, with a deviation of 1 (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let (a, b) = (1.0 - self.share(), self.share());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }
}

/// Half of the files are smaller. Sizes are spread as on disks of people at work (Agrawal and others, A five-year study of
/// file-system metadata, 2007): nearly all files are small, and half of all bytes lie in those of more than 1 MB.
const MEDIAN: f64 = 5_000.0;
/// Deviation of the logarithms of sizes.
const SPREAD: f64 = 2.2;
/// No file is larger.
const LARGEST: f64 = 8.0 * 1024.0 * 1024.0;
/// What one night adds to a file that it edits.
const INSERTED: usize = 40;

/// A tree that changes. Files by number, each in one of many directories, some of a tenant.
pub struct Changing {
    root: PathBuf,
    dice: Dice,
    files: Vec<u64>,
    made: u64,
}

impl Changing {
    /// Makes a tree of so many files.
    #[must_use]
    pub fn make(root: &Path, files: usize, seed: u64) -> Self {
        let mut tree = Self { root: root.to_owned(), dice: Dice::new(seed), files: Vec::new(), made: 0 };
        for _ in 0..files {
            tree.add();
        }
        tree
    }

    /// A night: so many in a thousand of all files change, picked at random. Six of ten are edited in place, three are
    /// replaced by something else, one goes and another comes.
    pub fn night(&mut self, per_mille: usize) {
        for _ in 0..(self.files.len() * per_mille).div_ceil(1000) {
            let at = self.dice.below(self.files.len());
            let Some(number) = self.files.get(at).copied() else { return };
            match self.dice.below(10) {
                0..6 => self.edit(number),
                6..9 => self.replace(number),
                _ => {
                    self.files.swap_remove(at);
                    fs::remove_file(self.path(number)).expect("a file to remove");
                    self.add();
                }
            }
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        let (dir, below) = (number % 37, number / 37 % 5);
        let tenant = if dir < 8 { "tenants/acme" } else { "shared" };
        self.root.join(format!("{tenant}/{dir}/{below}/file {number}"))
    }

    fn add(&mut self) {
        self.made += 1;
        self.files.push(self.made);
        self.write(self.made);
    }

    /// Something else of about the same size.
    fn replace(&mut self, number: u64) {
        let length = fs::metadata(self.path(number)).expect("a file to replace").len();
        let size = usize::try_from(length).unwrap_or(0);
        let size = size / 2 + self.dice.below(size + 1);
        self.fill(number, size);
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size below 8 MiB")]
    fn write(&mut self, number: u64) {
        let size = (MEDIAN.ln() + SPREAD * self.dice.normal()).exp().min(LARGEST) as usize;
        self.fill(number, size);
    }

    fn fill(&mut self, number: u64, size: usize) {
        let content = content(&mut self.dice, number, size);
        let path = self.path(number);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
    }

    /// Overwrites a stretch somewhere, and puts a few bytes at the end.
    fn edit(&mut self, number: u64) {
        let file = File::options().read(true).write(true).open(self.path(number)).expect("a file to edit");
        let length = file.metadata().expect("its length").len();
        let size = usize::try_from(length).unwrap_or(0);
        let stretch = size.min(16 + self.dice.below(2_000));
        let at = self.dice.below(size - stretch + 1) as u64;
        let written = content(&mut self.dice, number, stretch);
        file.write_all_at(&written, at).expect("an edit");
        let more = content(&mut self.dice, number, INSERTED);
        file.write_all_at(&more, length).expect("an addition");
    }
}

/// One file in eight is of bytes that do not compress, the others are lines of words.
fn content(dice: &mut Dice, number: u64, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 16);
    while bytes.len() < size {
        let roll = dice.roll();
        if number.is_multiple_of(8) {
            bytes.extend_from_slice(&roll.to_le_bytes());
        } else {
            word(roll, &mut bytes);
        }
    }
    bytes.truncate(size);
    bytes
}

/// One of some thousand words, the first ones far more often than the last, as in any text; now and then a number.
fn word(roll: u64, into: &mut Vec<u8>) {
    const BEGIN: [&str; 16] =
        ["th", "in", "re", "st", "co", "pro", "de", "con", "a", "be", "un", "mo", "pa", "li", "se", "over"];
    const END: [&str; 16] = [
        "e", "ing", "ed", "tion", "er", "s", "ly", "al", "ment", "ic", "able", "ous", "ness", "or", "y", "th",
    ];
    let rank = ((roll >> 8) & 0xff).min((roll >> 16) & 0xff).min((roll >> 24) & 0xff);
    let pick =
        |words: &[&'static str; 16], at: u64| words.get(usize::try_from(at & 15).unwrap_or(0)).copied();
    if roll & 0x1f == 0 {
        into.extend_from_slice((roll >> 40).to_string().as_bytes());
    } else {
        into.extend_from_slice(pick(&BEGIN, rank).unwrap_or_default().as_bytes());
        if roll & 0x40 == 0 {
            into.extend_from_slice(pick(&BEGIN, roll >> 33).unwrap_or_default().as_bytes());
        }
        into.extend_from_slice(pick(&END, rank >> 4).unwrap_or_default().as_bytes());
    }
    into.push(if (roll >> 50).is_multiple_of(11) { b'\n' } else { b' ' });
}
