//! The progress of a restore: a line of the pod's log, for people to read and for the operator to parse.

use std::fmt;
use std::str::FromStr;

use super::progress::{NotProgress, Size, exact, without_times};
use super::restore::Phase;

/// How far a restore has come.
///
/// As lines: `loading: fetched 123.4 MiB (129394851 B) of 200.0 MiB (209715200 B), 85.1 MiB/s (89338675 B/s), 61 %`,
/// `indexing: 12 of 40, at work for 63 s`, `checking: 3 of 20, at work for 4 s`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RestoreProgress {
    /// Rows are loaded.
    Load {
        /// Bytes of the object that were fetched and handed on, in order.
        fetched: u64,
        /// Bytes that it has.
        of: u64,
        /// Bytes per second, recently.
        rate: u64,
    },
    /// Indexes and constraints are built.
    Index(Steps),
    /// What is there is checked.
    Check(Steps),
}

/// How many steps are done, of how many, and when the server was last seen at work.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Steps {
    /// Steps that were begun, or are done.
    pub done: u32,
    /// All of them.
    pub of: u32,
    /// Seconds from the beginning of this phase to the last sign that the server works on it. One index may take hours:
    /// this moves as long as the server does.
    pub seconds: u64,
}

impl RestoreProgress {
    /// The phase that it is in.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Load { .. } => Phase::Load,
            Self::Index(_) => Phase::Index,
            Self::Check(_) => Phase::Check,
        }
    }

    /// The percentage of this phase, rounded down; `None` where there is nothing to do in it.
    #[must_use]
    pub fn percent(&self) -> Option<u8> {
        let (done, of) = match *self {
            Self::Load { fetched, of, .. } => (fetched, of),
            Self::Index(steps) | Self::Check(steps) => (u64::from(steps.done), u64::from(steps.of)),
        };
        let percent = u128::from(done) * 100 / u128::from(of.max(1));
        (of > 0).then(|| u8::try_from(percent.min(100)).unwrap_or(100))
    }
}

impl fmt::Display for RestoreProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Load { fetched, of, rate } => {
                write!(
                    f,
                    "loading: fetched {} ({fetched} B) of {} ({of} B), {}/s ({rate} B/s)",
                    Size(fetched),
                    Size(of),
                    Size(rate),
                )?;
                match self.percent() {
                    Some(percent) => write!(f, ", {percent} %"),
                    None => Ok(()),
                }
            }
            Self::Index(steps) => write!(f, "indexing: {steps}"),
            Self::Check(steps) => write!(f, "checking: {steps}"),
        }
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, of, seconds } = self;
        write!(f, "{done} of {of}, at work for {seconds} s")
    }
}

impl FromStr for RestoreProgress {
    type Err = NotProgress;

    /// Parses a line of the pod's log, which may begin with our timestamp, the kubelet's, or both.
    fn from_str(line: &str) -> Result<Self, NotProgress> {
        let line = without_times(line.trim_end());
        read(line)
            .filter(|progress| progress.to_string() == line)
            .ok_or(NotProgress)
    }
}

/// Takes the exact figures; the rest of the line must be what [`RestoreProgress`] writes for them.
fn read(line: &str) -> Option<RestoreProgress> {
    let (phase, rest) = line.split_once(": ")?;
    match phase {
        "loading" => {
            let mut fields = rest.split(", ");
            let (fetched, of) = fields.next()?.split_once(" of ")?;
            Some(RestoreProgress::Load {
                fetched: exact(fetched, " B)")?,
                of: exact(of, " B)")?,
                rate: exact(fields.next()?, " B/s)")?,
            })
        }
        "indexing" => Some(RestoreProgress::Index(steps(rest)?)),
        "checking" => Some(RestoreProgress::Check(steps(rest)?)),
        _ => None,
    }
}

fn steps(text: &str) -> Option<Steps> {
    let (figures, seconds) = text.split_once(", at work for ")?;
    let (done, of) = figures.split_once(" of ")?;
    Some(Steps {
        done: done.parse().ok()?,
        of: of.parse().ok()?,
        seconds: seconds.strip_suffix(" s")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn progress() -> impl Strategy<Value = RestoreProgress> {
        let steps = || {
            (any::<u32>(), any::<u32>(), any::<u64>()).prop_map(|(done, of, seconds)| Steps {
                done,
                of,
                seconds,
            })
        };
        prop_oneof![
            (any::<u64>(), any::<u64>(), any::<u64>())
                .prop_map(|(fetched, of, rate)| RestoreProgress::Load { fetched, of, rate }),
            steps().prop_map(RestoreProgress::Index),
            steps().prop_map(RestoreProgress::Check),
        ]
    }

    proptest! {
        #[test]
        fn a_line_is_read_as_it_was_written(progress in progress()) {
            let line = progress.to_string();
            prop_assert_eq!(line.parse(), Ok(progress));
            prop_assert_eq!(format!("2026-11-24T02:10:31Z {line}\n").parse(), Ok(progress));
        }

        #[test]
        fn other_lines_are_none(line in ".*") {
            prop_assert_eq!(line.parse::<RestoreProgress>(), Err(NotProgress));
        }
    }

    #[test]
    fn a_person_reads_it() {
        let load = RestoreProgress::Load {
            fetched: 129_394_851,
            of: 209_715_200,
            rate: 89_338_675,
        };
        let line = "loading: fetched 123.4 MiB (129394851 B) of 200.0 MiB (209715200 B), 85.1 MiB/s (89338675 B/s), 61 %";
        assert_eq!(load.to_string(), line);
        let index = RestoreProgress::Index(Steps {
            done: 12,
            of: 40,
            seconds: 63,
        });
        assert_eq!(index.to_string(), "indexing: 12 of 40, at work for 63 s");
        assert_eq!((index.phase(), index.percent()), (Phase::Index, Some(30)));
        for other in [
            line.replace("61 %", "62 %"),
            format!("pg_restore: {line}"),
            "checking: 012 of 40, at work for 63 s".to_owned(),
        ] {
            assert_eq!(
                other.parse::<RestoreProgress>(),
                Err(NotProgress),
                "{other}"
            );
        }
    }
}
