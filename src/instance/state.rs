//! What follows from what was observed of an instance: pure, without a client and without a clock.
//!
//! An instance has no states of its own: each pass decides anew, and its conditions are only what it says.

/// What was observed of an instance: only what a decision needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each with its name"
)]
pub(super) struct Facts {
    /// The object is being deleted.
    pub deleting: bool,
    /// Databases refer to it, or may.
    pub in_use: bool,
    /// The finalizer is on it.
    pub finalizer: bool,
    /// `spec.suspend`: the server is left alone.
    pub suspended: bool,
    /// All that is needed to reach the server is there.
    pub reachable: bool,
    /// Someone asked for an inspection that did not happen yet.
    pub requested: bool,
    /// The server was inspected recently, and nothing has failed since.
    pub fresh: bool,
    /// The server refused something that only a person can mend, and it is too soon to ask again.
    pub refused: bool,
    /// This pass asked the server.
    pub asked: bool,
}

/// What a pass does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// It does this.
    Act(Act),
    /// It ends; the status says what this is based on.
    Rest(Basis),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Act {
    /// Put the finalizer on, before anything can depend on the object.
    AddFinalizer,
    /// Ask the server.
    Inspect,
    /// Let the object go: it is being deleted, and nothing refers to it.
    Release,
}

/// What the status at the end of a pass is based on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Basis {
    /// The server is left alone.
    Suspended,
    /// There is no way to the server.
    Unreachable,
    /// What the server said when it was inspected last.
    Known,
    /// What the server refused when it was asked last.
    Refused,
    /// What the server said just now.
    Asked,
}

/// What follows.
#[must_use]
pub(super) const fn next(facts: &Facts) -> Next {
    if facts.deleting && !facts.in_use {
        return Next::Act(Act::Release);
    }
    if !facts.deleting && !facts.finalizer {
        return Next::Act(Act::AddFinalizer);
    }
    if facts.suspended {
        return Next::Rest(Basis::Suspended);
    }
    if !facts.reachable {
        return Next::Rest(Basis::Unreachable);
    }
    if facts.asked {
        return Next::Rest(Basis::Asked);
    }
    if facts.fresh && !facts.requested {
        return Next::Rest(Basis::Known);
    }
    if facts.refused {
        return Next::Rest(Basis::Refused);
    }
    Next::Act(Act::Inspect)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that can be observed.
    fn everything() -> impl Iterator<Item = Facts> {
        (0..512_u16).map(|bits| {
            let bit = |n: u16| bits & (1 << n) != 0;
            Facts {
                deleting: bit(0),
                in_use: bit(1),
                finalizer: bit(2),
                suspended: bit(3),
                reachable: bit(4),
                requested: bit(5),
                fresh: bit(6),
                refused: bit(7),
                asked: bit(8),
            }
        })
    }

    #[test]
    fn only_an_instance_that_is_deleted_and_not_in_use_goes() {
        for facts in everything() {
            let goes = next(&facts) == Next::Act(Act::Release);
            assert_eq!(goes, facts.deleting && !facts.in_use, "{facts:?}");
        }
    }

    #[test]
    fn no_server_is_asked_without_the_finalizer_or_against_the_spec() {
        for facts in everything().filter(|facts| next(facts) == Next::Act(Act::Inspect)) {
            assert!(facts.finalizer || facts.deleting, "{facts:?}");
            assert!(!facts.suspended && facts.reachable, "{facts:?}");
            assert!(!facts.refused, "{facts:?}");
            assert!(!facts.fresh || facts.requested, "{facts:?}");
        }
    }

    #[test]
    fn every_pass_comes_to_rest_and_asks_once_at_most() {
        for mut facts in everything() {
            let mut questions = 0;
            for _ in 0..4 {
                match next(&facts) {
                    Next::Act(Act::Release) | Next::Rest(_) => break,
                    Next::Act(Act::AddFinalizer) => facts.finalizer = true,
                    Next::Act(Act::Inspect) => {
                        facts.asked = true;
                        questions += 1;
                    }
                }
            }
            assert!(matches!(
                next(&facts),
                Next::Act(Act::Release) | Next::Rest(_)
            ));
            assert!(questions <= 1, "{facts:?}");
        }
    }
}
