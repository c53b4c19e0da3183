//! Whose sessions they are, and what a former leader said after its term.

use std::collections::HashMap;

use super::entry::{Act, Entry, What};

/// What the operator's sessions are called on PostgreSQL, with more behind it or not.
const CLIENT: &str = "db-operator";

/// The sessions of all leaders of one cluster on one server, one leader after the other.
pub struct Terms {
    cluster: String,
    /// As whom the operator works.
    administrator: String,
    /// The epoch that was raised last, in the order of the log.
    term: i64,
    /// By the server's number, which another session gets when this one is over.
    current: HashMap<u64, Session>,
    over: Vec<Session>,
    takeovers: HashMap<i64, Takeover>,
}

/// What came of a takeover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takeover {
    /// The former leader's sessions that were there when the epoch was raised: what was said last in each.
    pub ended: Vec<String>,
    /// Those that it began afterwards.
    pub opened: usize,
    /// What was said in these: looks at the epoch, and registrations that wrote nothing.
    pub looks: usize,
    /// What a former leader said besides. It has to be nothing.
    pub forbidden: Vec<String>,
}

struct Session {
    client: String,
    /// It has the operator's name, or its settings.
    is_operators: bool,
    /// In which term it began.
    began: i64,
    owner: Owner,
    said: Vec<Said>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// It has not said so yet.
    Unknown,
    /// The leader of this epoch, which stood when the session was registered.
    Leader(i64),
    /// A process that took itself for the leader of this epoch when there was a newer one already.
    Former(i64),
    /// An operator of another cluster.
    Stranger,
}

struct Said {
    term: i64,
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Look,
    Read,
    Change,
}

impl Terms {
    /// Of the cluster with this id, whose operators work as this administrator.
    #[must_use]
    pub fn new(cluster: &str, administrator: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            administrator: administrator.to_owned(),
            term: 0,
            current: HashMap::new(),
            over: Vec::new(),
            takeovers: HashMap::new(),
        }
    }

    /// Takes in what the log says next.
    pub(super) fn note(&mut self, entries: &[Entry]) {
        for entry in entries {
            match &entry.what {
                What::Login { user, client } => self.begin(entry.session, user, client),
                What::Statement { text, act } => self.statement(entry.session, text, act),
                What::End => self.end(entry.session),
            }
        }
    }

    /// What is known by now of the takeover by the leader of this epoch. What leaders before the former one said after
    /// their terms is forbidden, too, and told here.
    #[must_use]
    pub fn takeover(&self, epoch: i64) -> Takeover {
        let mut takeover = self.takeovers.get(&epoch).cloned().unwrap_or_default();
        for session in self.sessions() {
            if session.owner.is_former(epoch) {
                let (allowed, forbidden): (Vec<_>, Vec<_>) =
                    session.said.iter().partition(|said| session.allows(said));
                let looks = allowed.iter().filter(|said| said.term == epoch);
                takeover.opened += usize::from(session.began == epoch);
                takeover.looks += looks.count();
                takeover
                    .forbidden
                    .extend(forbidden.iter().map(|said| said.text.clone()));
            }
        }
        takeover
    }

    /// What was changed by sessions that never said whose they are. To be asked when all of them are over.
    #[must_use]
    pub fn unregistered(&self) -> Vec<String> {
        let unknown = self
            .sessions()
            .filter(|session| session.is_operators && session.owner == Owner::Unknown);
        unknown
            .flat_map(|session| &session.said)
            // Before there is an epoch nobody can register.
            .filter(|said| said.kind == Kind::Change && said.term > 0)
            .map(|said| said.text.clone())
            .collect()
    }

    /// Forgets the sessions of leaders before this epoch, which were looked at.
    pub fn forget_before(&mut self, epoch: i64) {
        self.over.retain(|session| match session.owner {
            Owner::Leader(of) | Owner::Former(of) => of >= epoch,
            Owner::Unknown => session.said.iter().any(|said| said.kind == Kind::Change),
            Owner::Stranger => false,
        });
        self.takeovers.retain(|of, _| *of >= epoch);
    }

    fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.current.values().chain(&self.over)
    }

    fn begin(&mut self, number: u64, user: &str, client: &str) {
        self.end(number);
        // Whoever logs in with a tenant's password tries no more than that.
        if user == self.administrator {
            let session = Session {
                client: client.to_owned(),
                is_operators: client.starts_with(CLIENT),
                began: self.term,
                owner: Owner::Unknown,
                said: Vec::new(),
            };
            self.current.insert(number, session);
        }
    }

    fn end(&mut self, number: u64) {
        self.over.extend(self.current.remove(&number));
    }

    fn statement(&mut self, number: u64, text: &str, act: &Act) {
        if !self.current.contains_key(&number) {
            return;
        }
        match act {
            Act::Raise { cluster, epoch } if *cluster == self.cluster => self.raise(*epoch),
            Act::RegisterVisit {
                cluster,
                epoch,
                client,
            } => {
                let owner = self.owner(cluster, *epoch);
                let visits = self.current.values_mut();
                visits
                    .filter(|visit| visit.client == *client)
                    .for_each(|visit| visit.owner = owner);
            }
            Act::Register { .. }
            | Act::Look { .. }
            | Act::Raise { .. }
            | Act::Pin
            | Act::Read
            | Act::Other => {}
        }
        let owner = match act {
            Act::Register { cluster, epoch } => Some(self.owner(cluster, *epoch)),
            Act::Look {
                cluster: Some(cluster),
            } if *cluster != self.cluster => Some(Owner::Stranger),
            Act::Look { .. }
            | Act::Raise { .. }
            | Act::RegisterVisit { .. }
            | Act::Pin
            | Act::Read
            | Act::Other => None,
        };
        let term = self.term;
        if let Some(session) = self.current.get_mut(&number) {
            session.owner = owner.unwrap_or(session.owner);
            session.is_operators |= *act == Act::Pin;
            session.say(term, text, act);
        }
    }

    fn raise(&mut self, epoch: i64) {
        if epoch <= self.term {
            return;
        }
        self.term = epoch;
        let former = self.current.values();
        let ended = former.filter(|session| session.owner.is_former(epoch));
        let last = ended.filter_map(|session| session.said.last());
        let takeover = Takeover {
            ended: last.map(|said| said.text.clone()).collect(),
            ..Takeover::default()
        };
        self.takeovers.insert(epoch, takeover);
    }

    fn owner(&self, cluster: &str, epoch: i64) -> Owner {
        if cluster != self.cluster {
            Owner::Stranger
        } else if epoch < self.term {
            Owner::Former(epoch)
        } else {
            Owner::Leader(epoch)
        }
    }
}

impl Owner {
    /// Whether it leads no more when this epoch stands.
    fn is_former(self, epoch: i64) -> bool {
        match self {
            Self::Leader(of) | Self::Former(of) => of < epoch,
            Self::Unknown | Self::Stranger => false,
        }
    }
}

impl Session {
    fn say(&mut self, term: i64, text: &str, act: &Act) {
        let kind = match act {
            Act::Look { .. } | Act::Register { .. } | Act::Pin => Kind::Look,
            Act::Read => Kind::Read,
            Act::Raise { .. } | Act::RegisterVisit { .. } | Act::Other => Kind::Change,
        };
        // Of what it said in its own term the last is of interest.
        if self.owner == Owner::Leader(term) || self.owner == Owner::Stranger {
            self.said.clear();
        }
        self.said.push(Said {
            term,
            text: text.to_owned(),
            kind,
        });
    }

    /// Whether a former leader may say this in this session: looks, in one that was never registered.
    fn allows(&self, said: &Said) -> bool {
        match self.owner {
            Owner::Leader(of) => said.term <= of,
            Owner::Former(_) => said.kind == Kind::Look,
            Owner::Unknown | Owner::Stranger => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Engine, entries};
    use super::*;

    /// Two leaders on PostgreSQL: the first has a session (1) and a visit (2) when the second raises the epoch, and
    /// opens another one (4) when it wakes up.
    const POSTGRESQL: &str = "\
T [1] admin@h from A(1) as [unknown]: LOG:  connection authorized: user=admin database=h application_name=db-operator SSL enabled (x)
T [1] admin@h from A(1) as db-operator: LOG:  execute s1: INSERT INTO db_operator.sessions (cluster_id, epoch) SELECT
T [1] admin@h from A(1) as db-operator: DETAIL:  Parameters: $1 = 'c', $2 = '1', $3 = 'first'
T [2] admin@t from A(2) as [unknown]: LOG:  connection authorized: user=admin database=t application_name=db-operator visit 0f SSL enabled (x)
T [1] admin@h from A(1) as db-operator: LOG:  execute s2: INSERT INTO db_operator.sessions (cluster_id, epoch) SELECT
T [1] admin@h from A(1) as db-operator: DETAIL:  Parameters: $1 = 'c', $2 = '1', $3 = 'first', $4 = 'db-operator visit 0f', $5 = 't'
T [2] admin@t from A(2) as db-operator visit 0f: LOG:  execute s1: SELECT pg_backend_pid() AS pid
T [3] admin@h from A(3) as [unknown]: LOG:  connection authorized: user=admin database=h application_name=db-operator SSL enabled (x)
T [3] admin@h from A(3) as db-operator: LOG:  execute s1: UPDATE db_operator.epochs SET epoch = $2, process = $3, raised_at = now()
T [3] admin@h from A(3) as db-operator: DETAIL:  Parameters: $1 = 'c', $2 = '2', $3 = 'second', $4 = '1'
T [3] admin@h from A(3) as db-operator: LOG:  execute s2: INSERT INTO db_operator.sessions (cluster_id, epoch) SELECT
T [3] admin@h from A(3) as db-operator: DETAIL:  Parameters: $1 = 'c', $2 = '2', $3 = 'second'
T [3] admin@h from A(3) as db-operator: LOG:  statement: CREATE ROLE \"tenant\"
T [4] admin@h from A(4) as [unknown]: LOG:  connection authorized: user=admin database=h application_name=db-operator SSL enabled (x)
T [4] admin@h from A(4) as db-operator: LOG:  execute s1: INSERT INTO db_operator.sessions (cluster_id, epoch) SELECT
T [4] admin@h from A(4) as db-operator: DETAIL:  Parameters: $1 = 'c', $2 = '1', $3 = 'first'
T [4] admin@h from A(4) as db-operator: LOG:  execute s2: SELECT m.schema_version, e.epoch, e.process FROM db_operator.meta m
T [4] admin@h from A(4) as db-operator: DETAIL:  Parameters: $1 = 'c'
";

    const MYSQL: &str = "\
T\t    1 Connect\tadmin@10.0.0.1 on  using SSL/TLS
\t\t    1 Query\tSET SESSION sql_mode = 'x', @db_operator = GET_LOCK('db_operator/01', 0)
\t\t    1 Execute\tINSERT INTO db_operator.sessions (token) SELECT '01', cluster_id, epoch FROM db_operator.epochs WHERE cluster_id = 'c' AND epoch = 1 AND process = 'first'
\t\t    2 Connect\tadmin@10.0.0.1 on  using SSL/TLS
\t\t    2 Execute\tUPDATE db_operator.epochs SET epoch = 2, process = 'second' WHERE cluster_id = 'c' AND epoch = 1
\t\t    2 Query\tKILL CONNECTION 1
\t\t    2 Execute\tINSERT INTO db_operator.sessions (token) SELECT '02', cluster_id, epoch FROM db_operator.epochs WHERE cluster_id = 'c' AND epoch = 2 AND process = 'second'
\t\t    2 Query\tCREATE DATABASE `t`
\t\t    3 Connect\tadmin@10.0.0.1 on  using SSL/TLS
\t\t    3 Execute\tINSERT INTO db_operator.sessions (token) SELECT '03', cluster_id, epoch FROM db_operator.epochs WHERE cluster_id = 'c' AND epoch = 1 AND process = 'first'
";

    fn terms(engine: Engine, log: &str, more: &str) -> Terms {
        let mut terms = Terms::new("c", "admin");
        terms.note(&entries(engine, &format!("{log}{more}")));
        terms
    }

    fn on_postgresql(more: &str) -> Takeover {
        terms(Engine::Postgres, POSTGRESQL, more).takeover(2)
    }

    /// With the first words of what was said last.
    fn shortened(mut takeover: Takeover) -> Takeover {
        for text in &mut takeover.ended {
            *text = text.split(' ').next().unwrap_or_default().to_owned();
        }
        takeover.ended.sort();
        takeover
    }

    #[test]
    fn looks_of_a_former_leader_are_counted_and_allowed() {
        let expected = Takeover {
            ended: vec!["INSERT".to_owned(), "SELECT".to_owned()],
            opened: 1,
            looks: 2,
            forbidden: Vec::new(),
        };
        assert_eq!(shortened(on_postgresql("")), expected);
        let expected = Takeover {
            ended: vec!["INSERT".to_owned()],
            opened: 1,
            looks: 1,
            forbidden: Vec::new(),
        };
        assert_eq!(
            shortened(terms(Engine::Mysql, MYSQL, "").takeover(2)),
            expected
        );
    }

    #[test]
    fn one_statement_in_a_session_of_before_is_found() {
        for (session, client) in [(1, "db-operator"), (2, "db-operator visit 0f")] {
            for said in ["statement: COMMIT", "execute s9: SELECT 1"] {
                let line = format!("T [{session}] admin@h from A(1) as {client}: LOG:  {said}\n");
                let (_, text) = said.split_once(": ").unwrap_or_default();
                assert_eq!(on_postgresql(&line).forbidden, [text]);
            }
        }
        let terms = terms(Engine::Mysql, MYSQL, "\t\t    1 Query\tSELECT 1\n");
        assert_eq!(terms.takeover(2).forbidden, ["SELECT 1"]);
    }

    #[test]
    fn one_change_in_a_session_of_afterwards_is_found() {
        let line =
            "T [4] admin@h from A(1) as db-operator: LOG:  statement: DROP ROLE \"tenant\"\n";
        assert_eq!(on_postgresql(line).forbidden, ["DROP ROLE \"tenant\""]);
        let line = "\t\t    3 Query\tDROP DATABASE `t`\n";
        let takeover = terms(Engine::Mysql, MYSQL, line).takeover(2);
        assert_eq!(takeover.forbidden, ["DROP DATABASE `t`"]);
    }

    #[test]
    fn a_change_in_a_session_that_never_registers_is_found() {
        let line = "\
T [5] admin@h from A(5) as [unknown]: LOG:  connection authorized: user=admin database=h application_name=db-operator SSL enabled (x)
T [5] admin@h from A(5) as db-operator: LOG:  statement: DROP ROLE \"tenant\"
";
        let terms = terms(Engine::Postgres, POSTGRESQL, line);
        assert_eq!(terms.takeover(2).forbidden, Vec::<String>::new());
        assert_eq!(terms.unregistered(), ["DROP ROLE \"tenant\""]);
    }

    #[test]
    fn sessions_of_others_do_not_count() {
        let other = POSTGRESQL.replace("'c'", "'d'");
        let terms = terms(Engine::Postgres, &other, "");
        assert_eq!(terms.takeover(2), Takeover::default());
        assert_eq!(terms.unregistered(), Vec::<String>::new());
    }

    #[test]
    fn a_number_that_another_session_gets_is_that_ones() {
        let end = "T [1] admin@h from A(1) as db-operator: LOG:  disconnection: session time\n";
        let again = POSTGRESQL.lines().next().unwrap_or_default();
        let register = "\
T [1] admin@h from A(1) as db-operator: LOG:  execute s1: INSERT INTO db_operator.sessions (cluster_id, epoch) SELECT
T [1] admin@h from A(1) as db-operator: DETAIL:  Parameters: $1 = 'c', $2 = '2', $3 = 'second'
T [1] admin@h from A(1) as db-operator: LOG:  statement: DROP ROLE \"tenant\"
";
        let takeover = on_postgresql(&format!("{end}{again}\n{register}"));
        assert_eq!((takeover.ended.len(), takeover.forbidden.len()), (2, 0));
    }
}
