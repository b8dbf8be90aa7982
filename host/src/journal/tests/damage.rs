//! Files that were cut or changed: refused and left as they are, or proved to hold the same records.

use proptest::prelude::*;

use super::*;
use crate::journal::chain::Row;

/// A journal that was closed, and its records.
fn sound() -> (Place, Vec<u8>, Vec<Row>) {
    let place = place();
    let mut store = place.store();
    for number in 0..40 {
        ok(
            &mut store,
            vec![accept(&format!("event-{number}"), Some(&format!("uuid-{number}"))), entry(number), ship()],
        );
        ok(&mut store, vec![Write::Finish { event_id: format!("event-{number}") }, send(number)]);
    }
    let rows = store.rows_after(0, 1000).unwrap();
    drop(store);
    let bytes = fs::read(&place.path).unwrap();
    assert!(!soundness::beside(&place.path, "-wal").exists(), "the whole journal is in one file");
    (place, bytes, rows)
}

/// Whether `bytes` are refused as a journal. What is taken must hold the very records.
fn refused(place: &Place, bytes: &[u8], rows: &[Row], what: &str) -> bool {
    fs::write(&place.path, bytes).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(soundness::beside(&place.path, suffix));
    }
    match Store::open(&place.path, &place.ambient) {
        Err(error) => {
            assert!(fs::read(&place.path).unwrap() == bytes, "{what}: the file was changed");
            let text = error.to_string();
            let clear = [
                "is damaged",
                "no SQLite database",
                "another program's",
                "newer than",
                "readonly",
                "unsupported file format",
            ];
            assert!(clear.iter().any(|clear| text.contains(clear)), "{what}: {text}");
            true
        }
        Ok(store) => {
            assert!(store.verify().unwrap().is_ok(), "{what}");
            assert!(store.rows_after(0, 1000).unwrap() == rows, "{what}: the records differ");
            false
        }
    }
}

#[test]
fn a_file_that_was_cut_is_refused() {
    let (place, bytes, rows) = sound();
    // As a controller leaves it beside its journal.
    fs::write(soundness::beside(&place.path, ".lock"), "").unwrap();
    let pages = (0..bytes.len()).step_by(4096).flat_map(|page| [page, page + 1, page + 100, page + 4095]);
    for length in pages.chain([bytes.len() - 1]).filter(|length| *length < bytes.len()) {
        assert!(
            refused(&place, &bytes[..length], &rows, &format!("cut to {length}")),
            "cut to {length} of {}",
            bytes.len()
        );
    }
}

#[test]
fn a_journal_that_was_put_away_is_followed_by_a_new_one() {
    let place = place();
    ok(&mut place.store(), vec![entry(1)]);
    fs::write(soundness::beside(&place.path, ".lock"), "").unwrap();
    fs::rename(&place.path, place.path.with_extension("old")).unwrap();
    assert_eq!(place.store().verify().unwrap().unwrap().seq, 0);
}

#[test]
fn a_bit_that_flipped_in_the_header_is_refused_or_does_no_harm() {
    let (place, bytes, rows) = sound();
    let mut count = 0;
    for at in 0..100 {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            count += usize::from(refused(&place, &bytes, &rows, &format!("bit {bit} of byte {at}")));
        }
    }
    assert!(count > 200, "{count}");
}

#[test]
fn a_bit_that_flipped_anywhere_is_refused_or_does_no_harm() {
    let (place, bytes, rows) = sound();
    let mut count = 0;
    for at in (100..bytes.len()).step_by(41) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        count += usize::from(refused(&place, &bytes, &rows, &format!("a bit of byte {at}")));
    }
    assert!(count > 100, "{count}");
}

#[test]
fn a_page_of_zeros_or_of_another_place_is_refused_or_does_no_harm() {
    let (place, bytes, rows) = sound();
    for page in 0..bytes.len() / 4096 {
        let mut zeros = bytes.clone();
        zeros[page * 4096..(page + 1) * 4096].fill(0);
        refused(&place, &zeros, &rows, &format!("page {page} is gone"));
        let mut other = bytes.clone();
        let from = (page + 1) % (bytes.len() / 4096);
        other.copy_within(from * 4096..(from + 1) * 4096, page * 4096);
        refused(&place, &other, &rows, &format!("page {from} stands for {page}"));
    }
}

/// A journal whose controller was killed: what it wrote lies in the write-ahead log. Its records, and where each of its
/// transactions ends in the log.
fn killed() -> (Vec<u8>, Vec<u8>, Vec<Row>, Vec<usize>) {
    let place = place();
    let mut store = place.store();
    let log = soundness::beside(&place.path, "-wal");
    let mut ends = Vec::new();
    for number in 0..20 {
        ok(&mut store, vec![accept(&format!("event-{number}"), None), entry(number), ship()]);
        ends.push(usize::try_from(fs::metadata(&log).unwrap().len()).unwrap());
    }
    (fs::read(&place.path).unwrap(), fs::read(&log).unwrap(), store.rows_after(0, 1000).unwrap(), ends)
}

/// How many of the last transactions are missing in what is left; none where it was refused, and left as it was.
fn left_of(file: &[u8], log: &[u8], rows: &[Row], what: &str) -> Option<usize> {
    let place = place();
    let beside = soundness::beside(&place.path, "-wal");
    fs::write(&place.path, file).unwrap();
    fs::write(&beside, log).unwrap();
    match Store::open(&place.path, &place.ambient) {
        Err(error) => {
            assert!(error.to_string().contains("is damaged"), "{what}: {error}");
            assert!(fs::read(&place.path).unwrap() == file && fs::read(&beside).unwrap() == log, "{what}: changed");
            let found = Reader::open(&place.path).and_then(|reader| reader.verify());
            let said = found.map_or_else(|error| error.to_string(), |verified| format!("{:?}", verified.findings));
            assert!(said.contains("write-ahead log cannot be read"), "{what}: `audit verify` says so, too: {said}");
            None
        }
        Ok(store) => {
            let found = store.rows_after(0, 1000).unwrap();
            assert!(store.verify().unwrap().is_ok(), "{what}");
            assert!(rows.starts_with(&found), "{what}: the records differ");
            Some(rows.len() - found.len())
        }
    }
}

#[test]
fn a_write_ahead_log_that_lost_what_was_committed_is_refused() {
    let (file, log, rows, ends) = killed();
    assert_eq!(left_of(&file, &log, &rows, "whole"), Some(0));
    let (mut refused, mut harmless) = (0, 0);
    // All of the log's header, of one frame's header, and here and there elsewhere.
    let frame = 32 + 30 * 4120;
    for at in (0..32).chain(frame..frame + 24).chain((0..log.len()).step_by(9001)) {
        let mut damaged = log.clone();
        damaged[at] ^= 1 << (at % 8);
        // The last transaction may as well be one that a crash cut off, and the end of the one before it says nothing.
        let last = at >= ends[ends.len() - 3];
        match left_of(&file, &damaged, &rows, &format!("a bit of byte {at}")) {
            None => refused += 1,
            Some(missing) => {
                assert!(missing == 0 || (last && missing <= 2), "byte {at}: {missing} are missing");
                harmless += usize::from(missing == 0);
            }
        }
    }
    assert!(refused > 100 && harmless == 0, "{refused} refused, {harmless} harmless");
    let mut zeros = log.clone();
    zeros[ends[4]..ends[6]].fill(0);
    assert_eq!(left_of(&file, &zeros, &rows, "a hole"), None);
}

#[test]
fn a_write_ahead_log_that_ends_in_the_middle_of_a_transaction_is_what_a_crash_leaves() {
    let (file, log, rows, ends) = killed();
    for (number, end) in ends.iter().enumerate().skip(1) {
        for short in [1, 30, 4096, 4200] {
            let what = format!("{short} before the end of {number}");
            assert_eq!(left_of(&file, &log[..end - short], &rows, &what), Some(rows.len() - number), "{what}");
        }
    }
    // What a transaction that failed had written stays there, and the next ones are written over it.
    let mut torn = log[..ends[10]].to_vec();
    torn.extend_from_slice(&log[ends[12]..ends[13] - 4120]);
    assert_eq!(left_of(&file, &torn, &rows, "leftovers"), Some(rows.len() - 11));
}

#[test]
fn a_journal_whose_write_ahead_log_held_everything_and_is_gone_is_refused() {
    let (file, ..) = killed();
    let place = place();
    let lock = soundness::beside(&place.path, ".lock");
    fs::write(&lock, "").unwrap();
    for log in [None, Some("")] {
        fs::write(&place.path, &file).unwrap();
        let _ = fs::remove_file(soundness::beside(&place.path, "-wal"));
        log.map_or(Ok(()), |log| fs::write(soundness::beside(&place.path, "-wal"), log)).unwrap();
        let error = Store::open(&place.path, &place.ambient).err().unwrap().to_string();
        assert!(error.contains("its write-ahead log is lost"), "{error}");
        assert!(fs::read(&place.path).unwrap() == file, "left as it was");
    }
    // As a program leaves it that stopped while it made the file.
    fs::remove_file(lock).unwrap();
    ok(&mut place.store(), vec![entry(1)]);
}

#[test]
fn a_larger_file_is_refused_for_its_length_and_its_last_records() {
    let place = place();
    let mut store = place.store();
    let attachment = Write::Attach {
        entry_id: "entry".into(),
        name: "memory".into(),
        media_type: "application/octet-stream".into(),
        sha256: String::new(),
        content: vec![1; 20 << 20],
    };
    ok(&mut store, vec![attachment]);
    for number in 0..600 {
        ok(&mut store, vec![entry(number)]);
    }
    drop(store);
    let bytes = fs::read(&place.path).unwrap();
    place.sql("UPDATE chain SET event_id = 'other' WHERE seq = 595");
    let error = Store::open(&place.path, &place.ambient).err().unwrap().to_string();
    assert!(error.contains("record 595 was changed"), "{error}");
    fs::write(&place.path, &bytes[..bytes.len() - 4096]).unwrap();
    assert!(matches!(Store::open(&place.path, &place.ambient), Err(JournalError::Damaged { .. })));
    // What is too far back to be read at each start, the command finds.
    fs::write(&place.path, &bytes).unwrap();
    place.sql("UPDATE chain SET event_id = 'other' WHERE seq = 5");
    drop(place.store());
    let findings = Reader::open(&place.path).unwrap().verify().unwrap().findings;
    assert!(findings[0].to_string().starts_with("record 5 was changed"), "{findings:?}");
}

#[test]
fn an_attachment_that_is_not_what_its_entry_says_is_found() {
    for (damage, bad) in [
        ("", 0),
        ("UPDATE attachments SET content = x'00' WHERE name = 'log'", 1),
        ("UPDATE attachments SET name = 'other' WHERE name = 'log'", 1),
        ("DELETE FROM attachments", 2),
    ] {
        let place = place();
        let attachment = |name: &str, content: &[u8]| Write::Attach {
            entry_id: "entry".into(),
            name: name.into(),
            media_type: "text/plain".into(),
            sha256: crate::hex::hex(&<sha2::Sha256 as sha2::Digest>::digest(content)),
            content: content.to_vec(),
        };
        let parts = [attachment("log", b"one"), attachment("tree", b"two")];
        let named: Vec<_> = parts
            .iter()
            .map(|part| match part {
                Write::Attach { name, sha256, .. } => json!({"name": name, "sha256": sha256, "bytes": 3}),
                other => panic!("{other:?}"),
            })
            .collect();
        let entry = record(LogType::Entry, "event", Some("entry"), json!({"attachments": named}));
        ok(&mut place.store(), std::iter::once(entry).chain(parts).collect());
        place.sql(damage);
        let findings = Reader::open(&place.path).unwrap().verify().unwrap().findings;
        assert_eq!(findings.len(), bad, "{damage}: {findings:?}");
        assert!(findings.iter().all(|finding| matches!(finding, Finding::Attachment { .. })), "{findings:?}");
    }
}

#[test]
fn a_definition_that_nobody_can_write_with_is_found_by_who_only_reads() {
    let place = place();
    ok(&mut place.store(), vec![entry(1)]);
    let sound = fs::read(&place.path).unwrap();
    let constraint = b"CHECK ((seq IS NULL)";
    let at = sound.windows(constraint.len()).position(|window| window == constraint).unwrap() + b"CHECK ((".len();
    for bit in [0x01, 0x80] {
        let mut bytes = sound.clone();
        bytes[at] ^= bit;
        fs::write(&place.path, bytes).unwrap();
        assert!(matches!(Store::open(&place.path, &place.ambient), Err(JournalError::Damaged { .. })));
        let findings = Reader::open(&place.path).unwrap().verify().unwrap().findings;
        assert!(matches!(&findings[..], [Finding::File(said)] if said.contains("no such column")), "{findings:?}");
    }
}

#[derive(Debug, Clone)]
enum Deed {
    Append,
    Delete(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Alter(prop::sample::Index, usize),
    Renumber(prop::sample::Index, i8),
    CutEnd(prop::sample::Index),
    Flip(prop::sample::Index, u8),
}

fn deed() -> impl Strategy<Value = Deed> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => Just(Deed::Append),
        1 => index().prop_map(Deed::Delete),
        1 => (index(), index()).prop_map(|(one, other)| Deed::Swap(one, other)),
        1 => (index(), 0..6_usize).prop_map(|(which, column)| Deed::Alter(which, column)),
        1 => (index(), any::<i8>()).prop_map(|(which, by)| Deed::Renumber(which, by)),
        1 => index().prop_map(Deed::CutEnd),
        2 => (index(), 0..8_u8).prop_map(|(at, bit)| Deed::Flip(at, bit)),
    ]
}

/// Changes the file behind the journal's back. What SQLite itself refuses was not done.
fn tamper(place: &Place, deed: &Deed, rows: usize) {
    let seq = |index: &prop::sample::Index| index.index(rows) + 1;
    let sql = match deed {
        Deed::Append => return,
        Deed::Delete(which) => format!("DELETE FROM chain WHERE seq = {}", seq(which)),
        Deed::Swap(one, other) => format!(
            "UPDATE chain SET body = (SELECT body FROM chain AS o WHERE o.seq = {0} + {1} - chain.seq) WHERE seq IN ({0}, {1})",
            seq(one),
            seq(other)
        ),
        Deed::Alter(which, column) => {
            let column = ["prev_hash", "hash", "log_type", "event_id", "entry_id", "body"][*column];
            format!("UPDATE chain SET {column} = {column} || 'x' WHERE seq = {}", seq(which))
        }
        Deed::Renumber(which, by) => format!("UPDATE chain SET seq = seq + {by} WHERE seq = {}", seq(which)),
        Deed::CutEnd(which) => format!("DELETE FROM chain WHERE seq > {}", seq(which)),
        Deed::Flip(at, bit) => {
            let mut bytes = fs::read(&place.path).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            fs::write(&place.path, bytes).unwrap();
            return;
        }
    };
    let connection = rusqlite::Connection::open(&place.path).unwrap();
    let _ = connection.execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_done_to_the_file_is_found_or_changes_no_record(deeds in proptest::collection::vec(deed(), 1..12)) {
        let place = place();
        let mut written = Vec::new();
        for (number, deed) in std::iter::repeat_n(&Deed::Append, 3).chain(&deeds).enumerate() {
            if matches!(deed, Deed::Append) {
                let Ok(mut store) = Store::open(&place.path, &place.ambient) else { break };
                if store.commit(&[vec![entry(number)]])[0].is_ok() {
                    let head = store.head().unwrap().1;
                    written.extend(store.rows_after(head.seq - 1, 1).unwrap());
                }
            } else {
                tamper(&place, deed, written.len());
            }
        }
        let found = match Reader::open(&place.path).and_then(|reader| reader.verify()) {
            Ok(verified) => !verified.findings.is_empty(),
            Err(_) => true,
        };
        // What `verify` does not read, an index of the outbox, the next start may find.
        if !found && let Ok(store) = Store::open(&place.path, &place.ambient) {
            prop_assert_eq!(store.rows_after(0, 1000).unwrap(), written);
        }
    }
}
