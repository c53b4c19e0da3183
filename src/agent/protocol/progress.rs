//! The progress of a dump: a line of the pod's log, for people to read and for the operator to parse.

use std::fmt;
use std::str::FromStr;

/// How far a dump has come.
///
/// As a line: `dumped 123.4 MiB (129394851 B), uploaded 45.5 MiB (47815065 B) in 6 parts, 85.1 MiB/s (89338675 B/s), 42 %`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Bytes that the dump tool has written.
    pub dumped: u64,
    /// Bytes that the store has received.
    pub uploaded: u64,
    /// Parts that the store has received.
    pub parts: u32,
    /// Bytes per second that the dump tool wrote recently.
    pub rate: u64,
    /// Percentage of the estimated size, at most 99 before the end; `None` without an estimate.
    pub percent: Option<u8>,
}

/// The line says nothing about progress.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a line about progress")]
pub struct NotProgress;

/// A number of bytes, displayed in the unit that a person would choose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        // Tenths, rounded down, in integers: no figure claims more than there is.
        let mut tenths = u128::from(self.0) * 10 / 1024;
        let mut unit = 0;
        while tenths >= 10_240 && unit + 1 < UNITS.len() {
            tenths /= 1024;
            unit += 1;
        }
        write!(f, "{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "dumped {} ({} B), uploaded {} ({} B) in {} {}, {}/s ({} B/s)",
            Size(self.dumped),
            self.dumped,
            Size(self.uploaded),
            self.uploaded,
            self.parts,
            if self.parts == 1 { "part" } else { "parts" },
            Size(self.rate),
            self.rate
        )?;
        match self.percent {
            Some(percent) => write!(f, ", {percent} %"),
            None => Ok(()),
        }
    }
}

impl FromStr for Progress {
    type Err = NotProgress;

    /// Parses a line of the pod's log, which may begin with our timestamp, the kubelet's, or both.
    fn from_str(line: &str) -> Result<Self, NotProgress> {
        read(line.trim_end()).ok_or(NotProgress)
    }
}

/// Takes the exact figures from the brackets; the rest of the line must be what [`Progress`] writes for them.
fn read(line: &str) -> Option<Progress> {
    let line = without_times(line);
    let mut fields = line.split(", ");
    let dumped = exact(fields.next()?.strip_prefix("dumped ")?, " B)")?;
    let (uploaded, parts) = fields
        .next()?
        .strip_prefix("uploaded ")?
        .split_once(" in ")?;
    let rate = exact(fields.next()?, " B/s)")?;
    let percent = match fields.next() {
        Some(text) => Some(text.strip_suffix(" %")?.parse().ok()?),
        None => None,
    };
    let progress = Progress {
        dumped,
        uploaded: exact(uploaded, " B)")?,
        parts: parts.split(' ').next()?.parse().ok()?,
        rate,
        percent,
    };
    (progress.to_string() == line).then_some(progress)
}

pub(super) fn exact(text: &str, end: &str) -> Option<u64> {
    let (_, exact) = text.split_once('(')?;
    exact.strip_suffix(end)?.parse().ok()
}

pub(super) fn without_times(mut line: &str) -> &str {
    for _ in 0..2 {
        match line.split_once(' ') {
            Some((time, rest)) if is_time(time) => line = rest,
            _ => break,
        }
    }
    line
}

fn is_time(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit())
        && word
            .chars()
            .all(|char| char.is_ascii_digit() || "T:.-Z".contains(char))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn progress() -> impl Strategy<Value = Progress> {
        let bytes = || prop_oneof![any::<u64>(), 0..5000_u64, 0..5_000_000_000_u64];
        (
            bytes(),
            bytes(),
            any::<u32>(),
            bytes(),
            proptest::option::of(0..=100_u8),
        )
            .prop_map(|(dumped, uploaded, parts, rate, percent)| Progress {
                dumped,
                uploaded,
                parts,
                rate,
                percent,
            })
    }

    proptest! {
        #[test]
        fn a_line_is_read_as_it_was_written(progress in progress()) {
            let line = progress.to_string();
            prop_assert_eq!(line.parse(), Ok(progress));
            prop_assert_eq!(format!("02:10:31 {line}\n").parse(), Ok(progress));
            prop_assert_eq!(format!("2026-11-24T02:10:31.123456789Z 02:10:31 {line}").parse(), Ok(progress));
        }

        #[test]
        fn other_lines_are_none(line in ".*") {
            prop_assert_eq!(line.parse::<Progress>(), Err(NotProgress));
        }
    }

    #[test]
    fn a_person_reads_it() {
        let mut progress = Progress {
            dumped: 129_394_851,
            uploaded: 47_815_065,
            parts: 6,
            rate: 89_338_675,
            percent: Some(42),
        };
        let line = "dumped 123.4 MiB (129394851 B), uploaded 45.5 MiB (47815065 B) in 6 parts, 85.1 MiB/s (89338675 B/s), 42 %";
        assert_eq!(progress.to_string(), line);
        for other in [
            format!("pg_dump: {line}"),
            line.replace("42 %", "420 %"),
            line.replace("123.4", "123.5"),
            format!("{line}, 3"),
        ] {
            assert_eq!(other.parse::<Progress>(), Err(NotProgress), "{other}");
        }
        progress = Progress {
            parts: 1,
            ..Progress::default()
        };
        assert_eq!(
            progress.to_string(),
            "dumped 0 B (0 B), uploaded 0 B (0 B) in 1 part, 0 B/s (0 B/s)"
        );
        let shown = |bytes| Size(bytes).to_string();
        assert_eq!(
            (shown(1023), shown(1024)),
            ("1023 B".to_owned(), "1.0 KiB".to_owned())
        );
        assert_eq!(shown(1024 * 1024 - 1), "1023.9 KiB");
        assert_eq!(shown(1536 * 1024 * 1024), "1.5 GiB");
    }
}
