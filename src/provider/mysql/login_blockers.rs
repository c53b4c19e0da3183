//! What blocks the logins of an existing account. Pure.

use super::dialect::Dialect;
use super::rows::{Account, Transport};

/// Something that blocks the logins of a user, now or one day, apart from a lock and an expired password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginBlocker {
    /// Its password expires by itself.
    Expires,
    /// A login needs more than a password, which no Secret contains.
    Transport,
    /// A login needs a second factor, or a third one.
    Factors,
    /// It may only do so much in an hour.
    PerHour,
    /// Its statements are ended before they are done.
    EndsStatements,
    /// Something else than its password lets it in, too. (It blocks nothing, and is not what was created.)
    OtherWay,
    /// Anyone who knows its name can lock it with wrong passwords.
    LocksItself,
    /// That has happened.
    Blocked,
}

/// Everything that blocks the logins of an account.
pub(super) fn of(dialect: &Dialect, account: &Account) -> impl Iterator<Item = LoginBlocker> {
    let transport = match account.transport {
        Transport::Any => false,
        Transport::Tls => !dialect.encrypted,
        Transport::Certificate => true,
    };
    [
        (transport, LoginBlocker::Transport),
        (account.further_factors > 0, LoginBlocker::Factors),
        (account.per_hour != [0; 3], LoginBlocker::PerHour),
        (account.ends_statements, LoginBlocker::EndsStatements),
        (account.has_other_way, LoginBlocker::OtherWay),
        (account.lifetime != Some(0), LoginBlocker::Expires),
        (account.locks_itself, LoginBlocker::LocksItself),
        (account.blocked == Some(true), LoginBlocker::Blocked),
    ]
    .into_iter()
    .filter_map(|(there, blocker)| there.then_some(blocker))
}

impl LoginBlocker {
    /// The difference, as one sentence.
    pub(super) fn describe(self, account: &Account) -> String {
        let user = &account.user;
        match self {
            Self::Expires => format!("the password of {user} could expire"),
            Self::Transport => {
                let what = match account.transport {
                    Transport::Any => "nothing",
                    Transport::Tls => "TLS, which spec.tls.mode disables",
                    Transport::Certificate => "a certificate",
                };
                format!("the user {user} had to show {what} beside its password")
            }
            Self::PerHour => {
                let [queries, updates, logins] = account.per_hour;
                format!(
                    "the user {user} was limited to {} queries, {} updates and {} logins an hour",
                    limit(queries),
                    limit(updates),
                    limit(logins)
                )
            }
            Self::EndsStatements => {
                format!(
                    "statements of the user {user} were ended after a time (MAX_STATEMENT_TIME)"
                )
            }
            Self::OtherWay => {
                format!("the user {user} could log in by means other than its password")
            }
            Self::Factors => {
                format!("the user {user} had to show a further factor beside its password")
            }
            Self::LocksItself => format!("wrong passwords could lock the user {user}"),
            Self::Blocked => format!("wrong passwords had blocked the user {user}"),
        }
    }
}

fn limit(number: i64) -> String {
    if number == 0 {
        "any number of".to_owned()
    } else {
        number.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn account() -> Account {
        Account {
            user: "orders".to_owned(),
            host: "%".to_owned(),
            locked: false,
            expired: false,
            lifetime: Some(0),
            max_connections: 0,
            per_hour: [0; 3],
            ends_statements: false,
            has_other_way: false,
            transport: Transport::Any,
            further_factors: 0,
            locks_itself: false,
            blocked: Some(false),
            plugin: String::new(),
            hash: String::new(),
            is_role: false,
        }
    }

    fn found(encrypted: bool, account: &Account) -> Vec<LoginBlocker> {
        let mut dialect = Dialect::new("9.7.4", "", false, false).unwrap();
        dialect.encrypted = encrypted;
        of(&dialect, account).collect()
    }

    #[test]
    fn what_blocks_no_one_is_left_alone() {
        assert_eq!(found(true, &account()), []);
        let tls = Account {
            transport: Transport::Tls,
            ..account()
        };
        assert_eq!(found(true, &tls), []);
        assert_eq!(found(false, &tls), [LoginBlocker::Transport]);
        let certificate = Account {
            transport: Transport::Certificate,
            ..account()
        };
        assert_eq!(found(true, &certificate), [LoginBlocker::Transport]);
    }

    #[test]
    fn each_blocker_is_described() {
        let account = Account {
            lifetime: None,
            per_hour: [0, 3, 0],
            locks_itself: true,
            further_factors: 1,
            blocked: Some(true),
            ..account()
        };
        let said: Vec<String> = found(true, &account)
            .into_iter()
            .map(|blocker| blocker.describe(&account))
            .collect();
        assert_eq!(
            said,
            [
                "the user orders had to show a further factor beside its password",
                "the user orders was limited to any number of queries, 3 updates and any number of logins an hour",
                "the password of orders could expire",
                "wrong passwords could lock the user orders",
                "wrong passwords had blocked the user orders",
            ]
        );
    }
}
