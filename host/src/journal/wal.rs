//! The write-ahead log beside the journal, looked at before SQLite does.
//!
//! SQLite takes a frame that it cannot read for what a crash left unfinished, and forgets it with everything after it,
//! without a word. That is right for the last transaction, which nobody was told of. It is wrong where another one
//! follows, since that was only begun when the one before it was on disk: then something damaged the file, and what was
//! committed would be lost.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use super::soundness;

/// How long the log grows before it is written back into the file, which the writer does between two groups, after it has
/// answered: SQLite by itself does it before.
pub(super) const PAGES: i64 = 1000;
/// After how many orders its length is looked at: fewer do not make it so long, but for large attachments.
pub(super) const LOOK: usize = 64;
/// At which SQLite does it by itself all the same.
pub(super) const MOST_PAGES: i64 = 4 * PAGES;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The last bit says in which order of bytes the checksums read.
const MAGIC: u32 = 0x377f_0682;
/// SQLite's.
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 512..=65_536;

/// What another program writes to while it is read may look damaged; damage looks the same twice.
const LOOKS: usize = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// What is wrong with the log, in words; none where it is whole, or ends as a crash may have left it.
pub(super) fn damage(journal: &Path) -> io::Result<Option<String>> {
    let wal = soundness::beside(journal, "-wal");
    let mut before = None;
    for _ in 0..LOOKS {
        let look = look(&wal)?;
        if look.is_none() || look == before {
            return Ok(look.map(|(_, found)| found));
        }
        before = look;
        std::thread::sleep(PAUSE);
    }
    Ok(None)
}

/// The log's header and what is wrong with it, if anything is.
fn look(wal: &Path) -> io::Result<Option<([u8; HEADER], String)>> {
    let mut file = match File::open(wal) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => BufReader::new(opened?),
    };
    let mut start = [0; HEADER];
    // One that is shorter was never used.
    if !fill(&mut file, &mut start)? {
        return Ok(None);
    }
    let found = match Header::read(&start) {
        Some(header) => first_lost(&header, file)?
            .map(|number| format!("frame {number} of its write-ahead log cannot be read, and others come after it")),
        None if fill(&mut file, &mut [0; FRAME_HEADER])? => {
            Some("the header of its write-ahead log cannot be read".to_owned())
        }
        None => None,
    };
    Ok(found.map(|found| (start, found)))
}

struct Header {
    big_endian: bool,
    page: usize,
    salts: [u8; 8],
    sum: Sum,
}

/// SQLite's checksum, which goes on from frame to frame.
type Sum = (u32, u32);

impl Header {
    fn read(bytes: &[u8; HEADER]) -> Option<Self> {
        let (magic, page) = (number(bytes, 0), number(bytes, 8));
        let salts = bytes[16..24].try_into().ok()?;
        let page_size = usize::try_from(page).ok().filter(|_| PAGE_SIZES.contains(&page) && page.is_power_of_two())?;
        let mut header = Self { big_endian: magic & 1 == 1, page: page_size, salts, sum: (0, 0) };
        header.sum = header.add((0, 0), &bytes[..24]);
        (magic & !1 == MAGIC && header.sum == stored(&bytes[24..])).then_some(header)
    }

    fn add(&self, sum: Sum, bytes: &[u8]) -> Sum {
        let word = |four: &[u8]| {
            let four = [four[0], four[1], four[2], four[3]];
            if self.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
        };
        bytes.chunks_exact(8).fold(sum, |(one, two), eight| {
            let one = one.wrapping_add(word(&eight[..4])).wrapping_add(two);
            (one, two.wrapping_add(word(&eight[4..])).wrapping_add(one))
        })
    }
}

/// The first frame that is not what was written, where a later transaction shows that it was committed.
fn first_lost(header: &Header, mut frames: impl Read) -> io::Result<Option<u64>> {
    let mut frame = vec![0_u8; FRAME_HEADER + header.page];
    let mut sum = header.sum;
    let (mut lost, mut ends_one) = (None, false);
    for number in 1_u64.. {
        if !fill(&mut frames, &mut frame)? {
            break;
        }
        // Those of an earlier round have other salts.
        let of_this_round = frame[8..16] == header.salts;
        let sound =
            of_this_round && header.add(header.add(sum, &frame[..8]), &frame[FRAME_HEADER..]) == stored(&frame[16..24]);
        // Linked to the frame before it as that stands in the file: what an earlier, failed transaction left is not.
        if sound && ends_one {
            return Ok(lost);
        }
        if !sound && lost.is_none() {
            lost = Some(number);
        }
        ends_one = lost.is_some() && of_this_round && self::number(&frame, 4) > 0;
        sum = stored(&frame[16..24]);
    }
    Ok(None)
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |number, byte| (number << 8) | u32::from(*byte))
}

fn stored(bytes: &[u8]) -> Sum {
    (number(bytes, 0), number(bytes, 4))
}

/// Whether there was enough to fill it.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match source.read_exact(buffer) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        result => result.map(|()| true),
    }
}
