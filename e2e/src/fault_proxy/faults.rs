//! What goes wrong, and when.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

/// Something that goes wrong at one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// At which request, counted from 1.
    pub at: usize,
    /// Before or after it was done.
    pub moment: Moment,
    /// What happens.
    pub effect: Effect,
}

/// When a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Instead of passing the request on: it is never done.
    Before,
    /// When its answer is there, which nobody gets: it is done.
    After,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The operator is killed.
    Kill,
    /// The connection ends.
    Cut,
    /// The connection ends while the request's content is on its way.
    Reset,
    /// The request gets this HTTP status in the place of an answer; outside HTTP, its connection ends.
    Answer(u16),
    /// The same, with this code of S3's, after the content was read.
    AnswerAs(u16, &'static str),
    /// The answer has this ETag instead of its own, or none.
    Etag(Option<&'static str>),
    /// A byte of the request's content is another one on its way.
    Flip,
    /// The request, or its answer, is late.
    Delay(Duration),
    /// All watches end, and the request goes on.
    DropWatches,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = match self.moment {
            Moment::Before => "before",
            Moment::After => "after",
        };
        match self.effect {
            Effect::Kill => write!(f, "kill {moment} {}", self.at),
            Effect::Cut => write!(f, "cut {moment} {}", self.at),
            Effect::Reset => write!(f, "reset {moment} {}", self.at),
            Effect::Answer(status) => write!(f, "{status} {moment} {}", self.at),
            Effect::AnswerAs(status, code) => write!(f, "{status} {code} {moment} {}", self.at),
            Effect::Etag(_) => write!(f, "another ETag {moment} {}", self.at),
            Effect::Flip => write!(f, "flip {moment} {}", self.at),
            Effect::Delay(time) => write!(f, "{time:?} {moment} {}", self.at),
            Effect::DropWatches => write!(f, "watches {moment} {}", self.at),
        }
    }
}

/// Counts requests and says which one goes wrong. Clones count together.
#[derive(Clone)]
pub struct Faults {
    state: Arc<Mutex<State>>,
    kill: Arc<dyn Fn() + Send + Sync>,
    /// Whether what this clone sees counts.
    counts: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    counting: bool,
    requests: Vec<String>,
    fault: Option<Fault>,
    happened: bool,
}

impl Faults {
    /// Nothing is counted and nothing goes wrong yet. `kill` ends the operator, at once and without its help.
    pub fn new(kill: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            state: Arc::default(),
            kill: Arc::new(kill),
            counts: Arc::new(true.into()),
        }
    }

    /// Counts with this one, and what it sees counts only while that is asked for: at first it is not.
    #[must_use]
    pub fn aside(&self) -> Self {
        Self {
            counts: Arc::new(false.into()),
            ..self.clone()
        }
    }

    /// Says whether what this one and its clones see counts from now on.
    pub fn count(&self, counts: bool) {
        self.counts.store(counts, Ordering::SeqCst);
    }

    /// Nothing ever goes wrong.
    #[must_use]
    pub fn none() -> Self {
        Self::new(|| ())
    }

    /// Counts from now on, and lets this go wrong when it is its turn.
    pub fn arm(&self, fault: Option<Fault>) {
        *self.lock() = State {
            counting: true,
            fault,
            ..State::default()
        };
    }

    /// Ends the count, and what was to go wrong. Returns the requests.
    #[must_use]
    pub fn disarm(&self) -> Vec<String> {
        std::mem::take(&mut *self.lock()).requests
    }

    /// Whether the fault happened by now.
    #[must_use]
    pub fn happened(&self) -> bool {
        self.lock().happened
    }

    /// Counts a request, and says what goes wrong with it.
    pub fn next(&self, request: impl FnOnce() -> String) -> Option<(Moment, Effect)> {
        let mut state = self.lock();
        if !state.counting || !self.counts.load(Ordering::SeqCst) {
            return None;
        }
        state.requests.push(request());
        let turn = state.requests.len();
        let fault = state.fault.filter(|fault| fault.at == turn)?;
        state.happened = true;
        Some((fault.moment, fault.effect))
    }

    /// Ends the operator.
    pub fn kill(&self) {
        (self.kill)();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_of_all_goes_wrong_and_only_while_counting() {
        let faults = Faults::new(|| ());
        assert_eq!(faults.next(|| "unseen".into()), None);
        faults.arm(Some(Fault {
            at: 2,
            moment: Moment::After,
            effect: Effect::Cut,
        }));
        let clone = faults.clone();
        assert_eq!(faults.next(|| "one".into()), None);
        assert!(!faults.happened());
        assert_eq!(
            clone.next(|| "two".into()),
            Some((Moment::After, Effect::Cut))
        );
        assert_eq!(faults.next(|| "three".into()), None);
        let requests = ["one", "two", "three"].map(str::to_owned).to_vec();
        assert!(faults.happened());
        assert_eq!(faults.disarm(), requests);
        assert!(faults.disarm().is_empty());
    }

    #[test]
    fn what_is_aside_counts_with_the_others_while_it_is_asked_for() {
        let faults = Faults::none();
        let aside = faults.aside();
        faults.arm(None);
        assert_eq!(aside.next(|| "unseen".into()), None);
        aside.clone().count(true);
        aside.next(|| "one".into());
        faults.next(|| "two".into());
        assert_eq!(faults.disarm(), ["one", "two"].map(str::to_owned));
    }
}
