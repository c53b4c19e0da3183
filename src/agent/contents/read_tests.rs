use std::io::Write;

use super::super::Figures;
use super::*;
use crate::agent::protocol::contents::MOST;
use proptest::prelude::*;

/// Figures with these numbers of rows.
fn figures(rows: &[u64]) -> Figures {
    let mut figures = Figures::new(true);
    for (number, &rows) in rows.iter().enumerate() {
        let table = figures.table(b"public", format!("t{number:06}").as_bytes());
        figures.rows(table, rows, 7 * rows, u128::from(rows) << 90);
    }
    figures.sequence(b"public", b"numbers", i64::MIN, true);
    figures
}

/// A dump as the compressor writes it: in one frame with a checksum, of unknown size.
fn compressed(dump: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(dump).unwrap();
    encoder.finish().unwrap()
}

fn dump(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| u8::try_from(index * index / 700 % 256).unwrap())
        .collect()
}

fn read(pieces: &[&[u8]], totals: &Totals) -> Result<Option<Contents>, ContentsError> {
    let mut reader = ContentsReader::new();
    for piece in pieces {
        reader.observe(piece);
    }
    reader.finish(totals)
}

#[test]
fn figures_are_read_as_they_were_written_and_decoders_pass_over_them() {
    let dump = dump(700_000);
    let object = compressed(&dump);
    let finished = figures(&[3, 0, 5]).finish();
    let frame = finished.frame.unwrap();
    let whole = [&object[..], &frame].concat();
    let contents = read(&[&whole], &finished.totals).unwrap();
    assert_eq!(contents, figures(&[3, 0, 5]).contents());
    assert_eq!(zstd::decode_all(&whole[..]).unwrap(), dump);
    // Frames of other programs, and of other forms: one segment, no checksum, blocks that are stored or repeated.
    let mut others = vec![0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3];
    others.extend([0x5D, 0x2A, 0x4D, 0x18, 9, 0, 0, 0]);
    others.extend(b"something");
    others.extend(zstd::bulk::compress(&vec![0; 3_000_000], 3).unwrap());
    others.extend(zstd::bulk::compress(&[], 3).unwrap());
    let whole = [&others[..], &frame, &object].concat();
    assert_eq!(read(&[&whole], &finished.totals).unwrap(), contents);
    assert!(zstd::decode_all(&whole[..]).unwrap().ends_with(&dump));
}

#[test]
fn what_is_not_the_manifests_is_not_believed() {
    let finished = figures(&[3]).finish();
    let (totals, frame) = (finished.totals, finished.frame.unwrap());
    let object = compressed(b"dump");
    let of = |pieces: &[&[u8]]| read(pieces, &totals).unwrap_err();
    assert_eq!(of(&[&object]), ContentsError::Missing);
    assert_eq!(of(&[]), ContentsError::Missing);
    assert_eq!(of(&[&object, &frame, &frame]), ContentsError::Others);
    assert_eq!(of(&[b"no object"]), ContentsError::NotCompressed);
    let end = frame.len() - 1;
    assert_eq!(of(&[&object, &frame[..end]]), ContentsError::NotCompressed);
    assert_eq!(
        of(&[&object, &frame, b"(\xB5"]),
        ContentsError::NotCompressed
    );
    let mut changed = frame.clone();
    changed[end] ^= 1;
    assert!(matches!(of(&[&changed]), ContentsError::Unreadable(_)));
    let other = figures(&[4]).finish().frame.unwrap();
    assert_eq!(of(&[&other]), ContentsError::Others);
    for wrong in [
        Totals {
            rows: 4,
            ..totals.clone()
        },
        Totals {
            tables: 2,
            ..totals.clone()
        },
        Totals {
            large_objects: 1,
            ..totals.clone()
        },
        Totals {
            digest: String::new(),
            ..totals.clone()
        },
    ] {
        assert_eq!(read(&[&frame], &wrong), Err(ContentsError::Others));
    }
    let without = Totals {
        has_tables: false,
        ..totals
    };
    assert_eq!(read(&[b"whatever"], &without), Ok(None));
}

/// A frame like ours with this JSON.
fn frame_of(json: &[u8]) -> Vec<u8> {
    let content = [&MARK[..], &zstd::encode_all(json, 3).unwrap()].concat();
    let size = u32::try_from(content.len()).unwrap();
    [&MAGIC.to_le_bytes()[..], &size.to_le_bytes(), &content].concat()
}

#[test]
fn what_would_fill_the_memory_is_not_read() {
    let totals = figures(&[]).finish().totals;
    let unreadable = |json: &[u8]| match read(&[&frame_of(json)], &totals).unwrap_err() {
        ContentsError::Unreadable(why) => why,
        other => panic!("{other:?}"),
    };
    let table = r#"{"name":"","rows":0,"bytes":0}"#;
    let many = format!(
        r#"{{"tables":[{}{table}]}}"#,
        format!("{table},").repeat(MOST)
    );
    assert!(unreadable(many.as_bytes()).contains("more than 100000"));
    let long = format!(r#"{{"tables":[],"x":"{}"}}"#, "x".repeat(40 * 1024 * 1024));
    assert!(unreadable(long.as_bytes()).contains("EOF"));
    assert!(unreadable(&vec![b'['; 100_000]).contains("line 1"));
    let mut size = MAGIC.to_le_bytes().to_vec();
    size.extend(u32::MAX.to_le_bytes());
    let mut reader = ContentsReader::new();
    reader.observe(&size);
    reader.observe(&vec![0; 1_000_000]);
    assert_eq!(reader.content.capacity(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_does_not_matter_where_the_object_is_cut(
        rows in proptest::collection::vec(any::<u32>(), 0..30),
        length in 0..400_000_usize,
        cuts in proptest::collection::vec(1..9_000_usize, 0..60),
    ) {
        let rows: Vec<u64> = rows.into_iter().map(u64::from).collect();
        let finished = figures(&rows).finish();
        let whole = [compressed(&dump(length)), finished.frame.unwrap()].concat();
        let mut reader = ContentsReader::new();
        let mut rest = &whole[..];
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            reader.observe(now);
            rest = later;
        }
        rest.chunks(1 + length % 5).for_each(|piece| reader.observe(piece));
        prop_assert_eq!(reader.finish(&finished.totals).unwrap(), figures(&rows).contents());
    }

    #[test]
    fn noise_is_no_object(
        noise in proptest::collection::vec(any::<u8>(), 0..400),
        at in 0..60_usize,
    ) {
        let finished = figures(&[1, 2]).finish();
        let totals = finished.totals;
        // No panic, whatever comes, and nothing but the figures is believed.
        prop_assert!(read(&[&noise], &totals).is_err());
        let mut whole = [compressed(b"dump"), finished.frame.unwrap()].concat();
        let at = at.min(whole.len());
        whole.splice(at..at, noise.iter().copied());
        if let Ok(contents) = read(&[&whole], &totals) {
            prop_assert_eq!(contents, figures(&[1, 2]).contents());
        }
    }
}
