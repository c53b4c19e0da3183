use super::*;
use proptest::prelude::*;

fn int(value: i64) -> Vec<u8> {
    let mut bytes = vec![u8::from(value < 0)];
    bytes.extend_from_slice(&u32::try_from(value.abs()).unwrap().to_le_bytes());
    bytes
}

fn string(text: Option<&str>) -> Vec<u8> {
    let Some(text) = text else { return int(-1) };
    let mut bytes = int(i64::try_from(text.len()).unwrap());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn chunks(lengths: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &length in lengths {
        bytes.extend(int(i64::from(length) + 1));
        bytes.extend(vec![0; usize::from(length) + 1]);
    }
    bytes.extend(int(0));
    bytes
}

/// An archive, and every place where its table of contents, its tables, or its objects end.
fn archive(minor: u8, tables: &[Vec<u8>], objects: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"PGDMP".to_vec();
    bytes.extend([1, minor, 0, 4, 8, 1]);
    bytes.extend(if minor >= 15 { vec![0] } else { int(0) });
    bytes.extend((0..7).flat_map(|_| int(1)));
    bytes.extend((0..3).flat_map(|_| string(Some("PGDMP"))));
    let with_data = tables.len() + usize::from(!objects.is_empty());
    bytes.extend(int(i64::try_from(with_data + 2).unwrap()));
    for number in 0..with_data + 2 {
        bytes.extend(int(i64::try_from(number).unwrap() + 1));
        bytes.extend(int(i64::from(number < with_data)));
        bytes.extend((0..3).flat_map(|_| string(Some("tag é"))));
        let is_objects = number == tables.len() && !objects.is_empty();
        bytes.extend(string(Some(if is_objects { "BLOBS" } else { "kind" })));
        bytes.extend(int(3));
        bytes.extend((0..6).flat_map(|index| string((index > 2).then_some("x"))));
        if minor >= 16 {
            bytes.extend(int(0));
        }
        bytes.extend((0..2).flat_map(|_| string(Some("false"))));
        bytes.extend(string(Some("12")));
        bytes.extend(string(None));
        bytes.extend([if number < with_data { 1 } else { 3 }]);
        bytes.extend([0; 8]);
    }
    for (number, table) in tables.iter().enumerate() {
        bytes.push(DATA);
        bytes.extend(int(i64::try_from(number).unwrap() + 1));
        bytes.extend(chunks(table));
    }
    if !objects.is_empty() {
        bytes.push(OBJECTS);
        bytes.extend(int(i64::try_from(with_data).unwrap()));
        for (number, object) in objects.iter().enumerate() {
            // The other is 3,000,000,000, as pg_dump writes it.
            let oid = if number % 2 == 0 {
                16_384
            } else {
                -1_294_967_296
            };
            bytes.extend(int(oid));
            bytes.extend(chunks(object));
        }
        bytes.extend(int(0));
    }
    bytes
}

fn check(bytes: &[u8]) -> Result<(), String> {
    let mut archive = Archive::default();
    archive.observe(bytes);
    archive.check()
}

#[test]
fn each_version_is_whole_only_at_its_end() {
    for minor in 14..=16 {
        let tables = [vec![3, 200], vec![], vec![0]];
        let whole = archive(minor, &tables, &[vec![1, 2], vec![]]);
        assert_eq!(check(&whole), Ok(()));
        for end in 0..whole.len() {
            assert!(check(&whole[..end]).is_err(), "1.{minor}, byte {end}");
        }
        let mut longer = whole;
        longer.push(0);
        assert!(check(&longer).is_err());
    }
    // Nothing to dump: no data at all.
    assert_eq!(check(&archive(16, &[], &[])), Ok(()));
}

#[test]
fn what_is_no_archive_is_told_apart() {
    for (bytes, why) in [
        (b"--\n-- PostgreSQL database dump\n--\n".to_vec(), "custom"),
        (b"PGDMP\x01\x11\x00\x04\x08\x01".to_vec(), "1.17"),
        (b"PGDMP\x01\x10\x00\x04\x08\x03".to_vec(), "custom"),
        (Vec::new(), "header"),
    ] {
        let said = check(&bytes).unwrap_err();
        assert!(said.contains(why), "{said}");
    }
    let whole = archive(16, &[vec![1]], &[]);
    let twice = [&whole[..], &whole[whole.len() - 18..]].concat();
    assert!(check(&twice).unwrap_err().contains("two blocks"));
}

#[test]
fn what_pg_restore_would_run_is_no_archive() {
    // Rows where large objects should be, and the other way round.
    let mut rows = archive(16, &[], &[vec![1]]);
    let block = rows.len() - (6 + 5 + 5 + 2 + 5 + 5);
    assert_eq!(rows[block], OBJECTS);
    rows[block] = DATA;
    assert!(check(&rows).unwrap_err().contains("another kind"));
    let mut objects = archive(16, &[vec![1]], &[]);
    let block = objects.len() - (6 + 5 + 2 + 5);
    assert_eq!(objects[block], DATA);
    objects[block] = OBJECTS;
    assert!(check(&objects).unwrap_err().contains("another kind"));
    // A number that is another one to pg_restore.
    let mut number = archive(16, &[vec![1]], &[]);
    number[block + 1..block + 6].copy_from_slice(&[1, 0xff, 0xff, 0xff, 0xff]);
    assert!(check(&number).unwrap_err().contains("too large"));
    let eight = b"PGDMP\x01\x10\x00\x08\x08\x01".to_vec();
    assert!(check(&eight).unwrap_err().contains("damaged"));
}

#[test]
fn what_a_restore_does_not_take_is_told() {
    let told = |contents_end, has_statements| {
        let mut archive = Archive::default();
        archive.observe(&self::archive(16, &[], &[vec![1]]));
        assert!(archive.contents_end > 100 && !archive.is_broken() && !archive.has_statements);
        archive.contents_end = contents_end;
        archive.has_statements = has_statements;
        // The first is about a tablespace.
        archive.warnings().split_off(1)
    };
    assert_eq!(told(LONGEST_CONTENTS, false), [""; 0]);
    let long = told(LONGEST_CONTENTS + (1 << 20), false);
    assert!(long[0].contains("has 65 MiB"), "{long:?}");
    assert!(told(0, true)[0].contains("--inserts"));
}

proptest! {
    #[test]
    fn it_does_not_matter_where_the_bytes_are_cut(
        minor in 14..=16_u8,
        tables in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..6), 0..6),
        objects in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..4), 0..4),
        cuts in proptest::collection::vec(1..300_usize, 1..60),
    ) {
        let whole = archive(minor, &tables, &objects);
        let mut archive = Archive::default();
        let mut rest = &whole[..];
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            archive.observe(now);
            rest = later;
            prop_assert_eq!(archive.check().is_ok(), rest.is_empty());
        }
        archive.observe(rest);
        prop_assert_eq!(archive.check(), Ok(()));
    }

    #[test]
    fn noise_is_no_archive(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(check(&noise).is_err());
        let mut bytes = archive(16, &[vec![9]], &[]);
        let end = bytes.len() - 9;
        bytes.truncate(end);
        bytes.extend(&noise);
        // No panic, whatever comes.
        let _ = check(&bytes);
    }
}
