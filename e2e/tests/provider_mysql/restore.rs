//! A target is loaded while its user is locked out: made ready, given up, or let in to what was loaded.

use std::sync::Arc;
use std::time::Duration;

use db_operator::provider::restore::{
    Ended, Leftover, Load, LoadMode, RestoreId, Scratch, Swapped,
};
use db_operator::provider::{
    Claim, Desired, Fence, Login, Names, Provider, ProviderError, Removal, Removed, open,
};
use secrecy::SecretString;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection};

use crate::context::{Administrator, Context, claim, create, desired};

const MOST: Duration = Duration::from_secs(5);

/// A database with its user, claimed and made, and a restore that is meant for it.
pub(crate) struct Scene {
    pub context: Arc<Context>,
    pub administrator: Administrator,
    pub provider: Arc<dyn Provider>,
    pub cluster: String,
    pub wanted: Desired,
    /// The password in its Secret.
    pub password: SecretString,
    pub load: Load,
}

impl Scene {
    pub(crate) async fn new(context: &Arc<Context>, stem: &str) -> Self {
        let administrator = context.administrator().await;
        let cluster = context.unique("cluster");
        let provider = open(
            context.config(&administrator),
            Fence::new(&cluster, || true),
        );
        let names = context.names(stem);
        let claim = claim(&names, &cluster);
        provider.write_claim(&claim, None).await.unwrap();
        let wanted = Desired {
            connection_limit: Some(3),
            ..desired(&names)
        };
        let password = context.password();
        create(provider.as_ref(), &wanted, &password).await;
        let load = Load {
            restore: RestoreId {
                cluster_id: cluster.clone(),
                namespace: claim.claimant.namespace.clone(),
                name: "back".to_owned(),
                uid: "uid-1".to_owned(),
                spec_hash: "5f0e".to_owned(),
            },
            target: names,
            claimant: claim.claimant,
            take_over_from: Vec::new(),
            extensions: Vec::new(),
            desired: wanted.clone(),
            mode: LoadMode::Empty,
        };
        Self {
            context: Arc::clone(context),
            administrator,
            provider,
            cluster,
            wanted,
            password,
            load,
        }
    }

    pub(crate) fn names(&self) -> &Names {
        &self.load.target
    }

    /// A process that follows: what was is superseded.
    pub(crate) fn next_process(&mut self) {
        self.provider = open(
            self.context.config(&self.administrator),
            Fence::new(&self.cluster, || true),
        );
    }

    /// Makes the target ready. Returns the password of the load.
    pub(crate) async fn make(&self) -> Result<SecretString, ProviderError> {
        let password = self.context.password();
        let verifier = self.provider.verifier(&password);
        let scratch = self.provider.make_scratch(&self.load, &verifier).await?;
        assert_eq!(scratch, self.scratch());
        Ok(password)
    }

    pub(crate) fn scratch(&self) -> Scratch {
        Scratch {
            database: self.names().database.clone(),
            login: self.names().role.clone(),
            owner: self.names().role.clone(),
        }
    }

    pub(crate) async fn session(&self, password: &SecretString) -> sqlx::Result<MySqlConnection> {
        self.context.tenant(self.names(), password).await
    }

    pub(crate) async fn swap(&self) -> Result<Swapped, ProviderError> {
        self.provider.swap(&self.load, &self.scratch(), MOST).await
    }

    pub(crate) async fn give_up(&self) -> Result<Ended, ProviderError> {
        let which = Leftover::Scratch;
        self.provider.drop_leftover(&self.load, which).await
    }

    pub(crate) async fn login(&self, password: &SecretString) -> Login {
        self.provider.login(self.names(), password).await.unwrap()
    }

    async fn is_let_in(&self) -> bool {
        self.login(&self.password).await == Login::Accepted
    }

    /// What is in the database.
    pub(crate) async fn objects(&self) -> Vec<String> {
        let database = &self.names().database;
        let sql = format!(
            "SELECT name FROM (SELECT CONVERT(TABLE_NAME USING utf8mb4) AS name FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = '{database}' \
             UNION ALL SELECT CONVERT(ROUTINE_NAME USING utf8mb4) FROM information_schema.ROUTINES \
             WHERE ROUTINE_SCHEMA = '{database}' \
             UNION ALL SELECT CONVERT(EVENT_NAME USING utf8mb4) FROM information_schema.EVENTS \
             WHERE EVENT_SCHEMA = '{database}') AS x ORDER BY name"
        );
        self.context.server.column(&sql).await.unwrap()
    }

    /// How many loads lock out the user.
    async fn rows(&self) -> String {
        let database = &self.names().database;
        let sql =
            format!("SELECT COUNT(*) FROM db_operator.scratch WHERE database_name = '{database}'");
        self.context.server.value(&sql).await.unwrap().unwrap()
    }

    async fn limit(&self) -> Option<u32> {
        let observed = self.provider.observe(self.names()).await.unwrap();
        observed.role.unwrap().connection_limit
    }
}

/// All kinds that a dump has, with foreign keys in a circle.
pub(crate) async fn fill(context: &Context, session: &mut MySqlConnection) {
    let mut statements = vec![
        "CREATE TABLE parent (id INT PRIMARY KEY, child INT) ENGINE=InnoDB",
        "CREATE TABLE child (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parent (id)) ENGINE=InnoDB",
        "ALTER TABLE parent ADD FOREIGN KEY (child) REFERENCES child (id)",
        "INSERT INTO parent VALUES (1, NULL), (2, NULL)",
        "CREATE VIEW seen AS SELECT id FROM parent",
        "CREATE TRIGGER counts BEFORE INSERT ON child FOR EACH ROW SET NEW.parent = 1",
        "CREATE PROCEDURE work() SELECT 1",
        "CREATE EVENT again ON SCHEDULE EVERY 1 SECOND DISABLE DO DELETE FROM child",
    ];
    if context.mariadb {
        statements.extend([
            "CREATE SEQUENCE numbers",
            "CREATE TABLE numbered (id BIGINT DEFAULT NEXTVAL(numbers))",
            "CREATE TABLE history (id INT) WITH SYSTEM VERSIONING",
        ]);
    }
    for statement in statements {
        sqlx::raw_sql(statement)
            .execute(&mut *session)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

pub(crate) async fn a_load_takes_the_place_of_nothing(context: Arc<Context>) {
    let scene = Scene::new(&context, "lo_ad").await;
    let Scene { provider, load, .. } = &scene;
    let facts = provider.look_at_target(load).await.unwrap();
    assert_eq!((facts.contents, facts.obstacles), (vec![], vec![]));
    assert!(facts.free_connections.unwrap() > 0);
    assert_eq!(provider.restored(&load.restore, &[]).await.unwrap(), None);

    let mut application = scene.session(&scene.password).await.unwrap();
    let password = scene.make().await.unwrap();
    assert!(application.ping().await.is_err(), "its session was ended");
    assert!(matches!(
        scene.login(&scene.password).await,
        Login::Refused(_)
    ));
    let mut loading = scene.session(&password).await.unwrap();
    fill(&context, &mut loading).await;
    // What a load has made by now is not what was there before.
    let facts = provider.look_at_target(load).await.unwrap();
    assert_eq!((facts.contents, facts.obstacles), (vec![], vec![]));
    assert!(facts.bytes > 0);
    // While it runs, nobody is let in.
    provider.reopen(load).await.unwrap();
    let login = Leftover::Login;
    assert_eq!(
        provider.drop_leftover(load, login).await.unwrap(),
        Ended::Done
    );
    assert!(!scene.is_let_in().await);

    let swapped = scene.swap().await.unwrap();
    assert!(matches!(swapped, Swapped::Done { former: None, downtime } if !downtime.is_zero()));
    assert!(loading.ping().await.is_err(), "its session was ended");
    assert!(scene.is_let_in().await);
    assert!(matches!(scene.login(&password).await, Login::Refused(_)));
    assert_eq!(scene.limit().await, Some(3));
    assert_eq!(scene.rows().await, "0");
    let mut application = scene.session(&scene.password).await.unwrap();
    let rows = sqlx::query("SELECT id FROM seen").fetch_all(&mut application);
    assert_eq!(rows.await.unwrap().len(), 2);
    application.close().await.unwrap();
    let definers = format!(
        "SELECT DISTINCT definer FROM (SELECT DEFINER AS definer FROM information_schema.VIEWS WHERE TABLE_SCHEMA = '{0}' \
         UNION ALL SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{0}' \
         UNION ALL SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '{0}' \
         UNION ALL SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{0}') AS x",
        scene.names().database
    );
    assert_eq!(
        context.server.column(&definers).await.unwrap(),
        [format!("{}@%", scene.names().role)]
    );
    // The controller finds nothing to put back.
    let verifier_of_secret = None;
    assert_eq!(
        provider
            .ensure_role(&scene.wanted, verifier_of_secret)
            .await
            .unwrap(),
        []
    );

    // It was done once.
    assert_eq!(scene.swap().await.unwrap(), swapped);
    let record = provider
        .restored(&load.restore, &[])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (record.uid.as_str(), record.spec_hash.as_str()),
        ("uid-1", "5f0e")
    );
    assert!(record.at > 1_700_000_000, "{record:?}");
    let elsewhere = RestoreId {
        cluster_id: "another".to_owned(),
        uid: "uid-2".to_owned(),
        ..load.restore.clone()
    };
    assert_eq!(provider.restored(&elsewhere, &[]).await.unwrap(), None);
    let continued = provider
        .restored(&elsewhere, std::slice::from_ref(&scene.cluster))
        .await;
    assert_eq!(continued.unwrap(), Some(record));
    // Neither giving up nor another one of that name takes anything back.
    for which in [Leftover::Scratch, Leftover::Login, Leftover::Former] {
        let ended = provider.drop_leftover(load, which).await.unwrap();
        assert_eq!(ended, Ended::Done);
    }
    let refused = scene.make().await.unwrap_err();
    assert!(matches!(refused, ProviderError::InTheWay(_)), "{refused}");
    let undone = provider.undo(load, MOST).await.unwrap();
    assert!(matches!(&undone, Swapped::Blocked(why) if why.contains("nothing to go back to")));
    assert!(scene.is_let_in().await);
    assert!(scene.objects().await.contains(&"parent".to_owned()));
}

pub(crate) async fn a_load_that_is_given_up_leaves_nothing(context: Arc<Context>) {
    let scene = Scene::new(&context, "give_up").await;
    for _ in 0..2 {
        let password = scene.make().await.unwrap();
        let mut loading = scene.session(&password).await.unwrap();
        fill(&context, &mut loading).await;
        for statement in [
            "ALTER EVENT again ENABLE",
            "START TRANSACTION",
            "INSERT INTO parent VALUES (3, NULL)",
        ] {
            sqlx::raw_sql(statement)
                .execute(&mut loading)
                .await
                .unwrap();
        }
        assert_eq!(scene.give_up().await.unwrap(), Ended::Done);
        assert!(loading.ping().await.is_err(), "its session was ended");
        assert_eq!(scene.objects().await, [""; 0]);
        assert!(scene.is_let_in().await);
        assert_eq!(scene.limit().await, Some(3));
        assert_eq!(scene.rows().await, "0");
        assert_eq!(scene.give_up().await.unwrap(), Ended::Done);
    }
    let restore = &scene.load.restore;
    assert_eq!(scene.provider.restored(restore, &[]).await.unwrap(), None);
}

/// Whatever goes wrong, what was there before the load is there afterwards.
pub(crate) async fn what_is_in_a_target_is_never_dropped(context: Arc<Context>) {
    let scene = Scene::new(&context, "pre_cious").await;
    let Scene { provider, load, .. } = &scene;
    let mut application = scene.session(&scene.password).await.unwrap();
    sqlx::raw_sql("CREATE TABLE mine (id INT)")
        .execute(&mut application)
        .await
        .unwrap();
    let facts = provider.look_at_target(load).await.unwrap();
    assert_eq!(facts.contents, ["table \"mine\""]);
    let refused = scene.make().await.unwrap_err();
    assert!(
        matches!(&refused, ProviderError::InTheWay(why) if why.contains("table \"mine\"")),
        "{refused}"
    );
    application.ping().await.unwrap();
    assert_eq!(scene.give_up().await.unwrap(), Ended::Done);
    assert_eq!(scene.objects().await, ["mine"]);
    sqlx::raw_sql("DROP TABLE mine")
        .execute(&mut application)
        .await
        .unwrap();
    application.close().await.unwrap();

    // The Restore is lost, and the Database puts its password back: from then on, anyone may have made what is there.
    let password = scene.make().await.unwrap();
    let mut loading = scene.session(&password).await.unwrap();
    sqlx::raw_sql("CREATE TABLE half (id INT)")
        .execute(&mut loading)
        .await
        .unwrap();
    let verifier = provider.verifier(&scene.password);
    provider
        .ensure_role(&scene.wanted, Some(&verifier))
        .await
        .unwrap();
    let swapped = scene.swap().await.unwrap();
    assert!(
        matches!(&swapped, Swapped::ChangedHands(why) if why.contains("was changed during the load")),
        "{swapped:?}"
    );
    let facts = provider.look_at_target(load).await.unwrap();
    assert_eq!(facts.contents, ["table \"half\""]);
    let ended = scene.give_up().await.unwrap();
    assert!(
        matches!(&ended, Ended::ChangedHands(why) if why.contains("table \"half\"")),
        "{ended:?}"
    );
    assert!(scene.make().await.is_err());
    assert_eq!(scene.give_up().await.unwrap(), Ended::Done);
    assert_eq!(scene.objects().await, ["half"]);
    assert!(scene.is_let_in().await);
    assert_eq!(provider.restored(&load.restore, &[]).await.unwrap(), None);
}

/// As after a crash, and with the pod of before still at work.
pub(crate) async fn a_load_begins_anew(context: Arc<Context>) {
    let mut scene = Scene::new(&context, "a_new").await;
    let former = scene.make().await.unwrap();
    let mut loading = scene.session(&former).await.unwrap();
    fill(&context, &mut loading).await;
    sqlx::raw_sql("ALTER EVENT again ENABLE")
        .execute(&mut loading)
        .await
        .unwrap();
    scene.next_process();
    // The object was made again in between, too.
    "uid-2".clone_into(&mut scene.load.restore.uid);
    let password = scene.make().await.unwrap();
    assert!(loading.ping().await.is_err(), "its session was ended");
    assert!(matches!(scene.login(&former).await, Login::Refused(_)));
    assert_eq!(scene.objects().await, [""; 0]);
    let mut loading = scene.session(&password).await.unwrap();
    sqlx::raw_sql("CREATE TABLE whole (id INT)")
        .execute(&mut loading)
        .await
        .unwrap();
    // Only the one that loaded last can end it.
    let mut other = scene.load.clone();
    "uid-1".clone_into(&mut other.restore.uid);
    let scratch = scene.scratch();
    let swapped = scene.provider.swap(&other, &scratch, MOST).await.unwrap();
    assert!(matches!(swapped, Swapped::ChangedHands(_)), "{swapped:?}");
    let ended = scene.provider.drop_leftover(&other, Leftover::Scratch);
    assert_eq!(ended.await.unwrap(), Ended::Done);
    assert!(!scene.is_let_in().await);
    assert!(matches!(scene.swap().await.unwrap(), Swapped::Done { .. }));
    assert!(scene.is_let_in().await);
    assert_eq!(scene.objects().await, ["whole"]);
}

pub(crate) async fn a_target_that_changed_hands_is_left_alone(context: Arc<Context>) {
    let scene = Scene::new(&context, "hands").await;
    let Scene { provider, load, .. } = &scene;
    let own = claim(scene.names(), &scene.cluster);
    let released = Claim {
        released: true,
        ..own.clone()
    };
    let mut taken = own.clone();
    taken.claimant.cluster_id = format!("{}x", scene.cluster);
    let password = scene.make().await.unwrap();
    let mut loading = scene.session(&password).await.unwrap();
    sqlx::raw_sql("CREATE TABLE half (id INT)")
        .execute(&mut loading)
        .await
        .unwrap();
    let mut standing = own.clone();
    for other in [&released, &taken] {
        provider.write_claim(other, Some(&standing)).await.unwrap();
        standing = other.clone();
        let moved = scene.make().await.unwrap_err();
        assert!(matches!(moved, ProviderError::ClaimMoved { .. }), "{moved}");
        let swapped = scene.swap().await.unwrap();
        assert!(matches!(swapped, Swapped::ChangedHands(_)), "{swapped:?}");
        let ended = scene.give_up().await.unwrap();
        assert!(matches!(ended, Ended::ChangedHands(_)), "{ended:?}");
        provider.reopen(load).await.unwrap();
        loading.ping().await.unwrap();
        assert_eq!(scene.objects().await, ["half"]);
    }
    assert_eq!(provider.restored(&load.restore, &[]).await.unwrap(), None);
    // A cluster that this one continues is as good as this one.
    let continues = Load {
        take_over_from: vec!["gone".to_owned(), taken.claimant.cluster_id.clone()],
        ..load.clone()
    };
    let swapped = provider.swap(&continues, &scene.scratch(), MOST).await;
    assert!(matches!(swapped.unwrap(), Swapped::Done { .. }));
    assert!(scene.is_let_in().await);
}

pub(crate) async fn a_superseded_process_restores_nothing(context: Arc<Context>) {
    let mut scene = Scene::new(&context, "late").await;
    let password = scene.make().await.unwrap();
    let mut loading = scene.session(&password).await.unwrap();
    sqlx::raw_sql("CREATE TABLE half (id INT)")
        .execute(&mut loading)
        .await
        .unwrap();
    let former = Arc::clone(&scene.provider);
    scene.next_process();
    scene.provider.observe(scene.names()).await.unwrap();
    let verifier = former.verifier(&context.password());
    let mut superseded = 0;
    for _ in 0..3 {
        for outcome in [
            former.swap(&scene.load, &scene.scratch(), MOST).await.err(),
            former.make_scratch(&scene.load, &verifier).await.err(),
            former
                .drop_leftover(&scene.load, Leftover::Scratch)
                .await
                .err(),
            former.reopen(&scene.load).await.err(),
        ] {
            match outcome {
                Some(ProviderError::Superseded { .. }) => superseded += 1,
                // The session that was ended while it was idle.
                Some(ProviderError::Unreachable { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(superseded >= 10, "{superseded}");
    loading.ping().await.unwrap();
    assert_eq!(scene.objects().await, ["half"]);
    assert!(matches!(scene.swap().await.unwrap(), Swapped::Done { .. }));
}

/// What is in the way is named, and nothing is let in or dropped by halves.
pub(crate) async fn what_refers_to_a_load_is_named(context: Arc<Context>) {
    let scene = Scene::new(&context, "refer").await;
    let password = scene.make().await.unwrap();
    let mut loading = scene.session(&password).await.unwrap();
    sqlx::raw_sql("CREATE TABLE parent (id INT PRIMARY KEY) ENGINE=InnoDB")
        .execute(&mut loading)
        .await
        .unwrap();
    let other = context.names("other");
    let (from, to) = (other.database.mysql(), scene.names().database.mysql());
    context
        .server
        .run(&[
            format!("CREATE DATABASE {from}"),
            format!(
                "CREATE TABLE {from}.child (id INT, FOREIGN KEY (id) REFERENCES {to}.parent (id)) ENGINE=InnoDB"
            ),
        ])
        .await
        .unwrap();
    let blocked = scene.give_up().await.unwrap();
    let Ended::Blocked(why) = blocked else {
        panic!("{blocked:?}");
    };
    assert!(why.contains("DROP FOREIGN KEY"), "{why}");
    assert_eq!(scene.objects().await, ["parent"]);
    assert!(!scene.is_let_in().await);
    let statement = why.rsplit_once("run: ").unwrap().1.to_owned();
    context.server.run(&[statement]).await.unwrap();
    assert_eq!(scene.give_up().await.unwrap(), Ended::Done);
    assert!(scene.is_let_in().await);

    // Of an open transaction elsewhere.
    let password = scene.make().await.unwrap();
    let mut loading = scene.session(&password).await.unwrap();
    sqlx::raw_sql("CREATE TABLE parent (id INT PRIMARY KEY) ENGINE=InnoDB")
        .execute(&mut loading)
        .await
        .unwrap();
    let mut root = context.server.root().await.unwrap();
    let look = format!("START TRANSACTION; SELECT * FROM {to}.parent");
    sqlx::raw_sql(AssertSqlSafe(look))
        .execute(&mut root)
        .await
        .unwrap();
    let blocked = scene.give_up().await.unwrap();
    assert!(
        matches!(&blocked, Ended::Blocked(why) if why.contains("locked by others")),
        "{blocked:?}"
    );
    root.close().await.unwrap();
    assert_eq!(scene.give_up().await.unwrap(), Ended::Done);
    assert_eq!(scene.objects().await, [""; 0]);
}

/// A password that a rotation retained would still let the application in.
pub(crate) async fn a_retained_password_does_not_log_in_during_a_load(context: Arc<Context>) {
    if context.mariadb {
        return;
    }
    let scene = Scene::new(&context, "retain").await;
    let account = format!("'{}'@'%'", scene.names().role);
    let second = context.password();
    let retain = format!(
        "ALTER USER {account} {} RETAIN CURRENT PASSWORD",
        context.identified(&second)
    );
    context.server.run(&[retain]).await.unwrap();
    for password in [&scene.password, &second] {
        assert_eq!(scene.login(password).await, Login::Accepted);
    }
    scene.make().await.unwrap();
    for password in [&scene.password, &second] {
        assert!(matches!(scene.login(password).await, Login::Refused(_)));
    }
    assert_eq!(scene.give_up().await.unwrap(), Ended::Done);
    assert_eq!(scene.login(&second).await, Login::Accepted);
}

/// Some accounts have hashes that were not made here, with any bytes in their salt.
pub(crate) async fn a_user_that_was_adopted_is_let_in_again(context: Arc<Context>) {
    let scene = Scene::new(&context, "adopted").await;
    let account = format!("'{}'@'%'", scene.names().role);
    let chosen = "as the server hashes it";
    let by = format!("ALTER USER {account} IDENTIFIED BY '{chosen}'");
    context.server.run(&[by]).await.unwrap();
    let chosen = SecretString::from(chosen.to_owned());
    scene.make().await.unwrap();
    assert!(matches!(scene.login(&chosen).await, Login::Refused(_)));
    assert_eq!(scene.give_up().await.unwrap(), Ended::Done);
    assert_eq!(scene.login(&chosen).await, Login::Accepted);
}

/// What the administrator lacks is told before anything is made.
pub(crate) async fn a_right_that_a_load_needs_is_named(context: Arc<Context>) {
    let scene = Scene::new(&context, "right").await;
    let kill = if context.mariadb {
        "CONNECTION ADMIN"
    } else {
        "CONNECTION_ADMIN"
    };
    let grants: Vec<String> = context
        .least()
        .iter()
        .map(|grant| grant.replace(&format!(", {kill}"), ""))
        .filter(|grant| !grant.contains(kill))
        .collect();
    let administrator = context.administrator_with(&grants).await;
    // Nobody may end its sessions who follows without the right.
    scene.provider.close().await;
    let provider = open(
        context.config(&administrator),
        Fence::new(&scene.cluster, || true),
    );
    let facts = provider.look_at_target(&scene.load).await.unwrap();
    let [obstacle] = &facts.obstacles[..] else {
        panic!("{facts:?}");
    };
    let grant = obstacle.rsplit_once("run: ").unwrap().1.to_owned();
    context.server.run(&[grant]).await.unwrap();
    provider.close().await;
    let provider = open(
        context.config(&administrator),
        Fence::new(&scene.cluster, || true),
    );
    let facts = provider.look_at_target(&scene.load).await.unwrap();
    assert_eq!(facts.obstacles, [""; 0]);
}

pub(crate) async fn a_database_that_is_removed_takes_its_load_along(context: Arc<Context>) {
    let scene = Scene::new(&context, "gone").await;
    let password = scene.make().await.unwrap();
    let mut loading = scene.session(&password).await.unwrap();
    fill(&context, &mut loading).await;
    let removal = Removal {
        names: scene.names().clone(),
        database: true,
        role: true,
    };
    assert_eq!(
        scene.provider.remove(&removal).await.unwrap(),
        Removed::Done
    );
    assert_eq!(scene.rows().await, "0");
    assert_eq!(scene.give_up().await.unwrap(), Ended::Done);
    let looked = scene.provider.look_at_target(&scene.load).await;
    let error = looked.unwrap_err().to_string();
    assert!(error.contains("is missing"), "{error}");
    let swapped = scene.swap().await.unwrap();
    assert!(matches!(swapped, Swapped::ChangedHands(_)), "{swapped:?}");
}

/// Others are not locked out, and what they make during a load would be dropped with it.
pub(crate) async fn who_else_may_change_a_target_is_named(context: Arc<Context>) {
    let scene = Scene::new(&context, "shared").await;
    let other = context.names("other").role;
    let account = format!("'{other}'@'%'");
    let on = context.pattern(&scene.names().database);
    let obstacles = async || {
        let facts = scene.provider.look_at_target(&scene.load).await.unwrap();
        facts.obstacles
    };
    let reads = [
        format!("CREATE USER {account}"),
        format!("GRANT SELECT, SHOW VIEW, EXECUTE ON {on}.* TO {account}"),
    ];
    context.server.run(&reads).await.unwrap();
    assert_eq!(obstacles().await, [""; 0]);
    let writes = format!("GRANT CREATE, INSERT ON {on}.* TO {account}");
    context.server.run(&[writes]).await.unwrap();
    let told = obstacles().await;
    let [obstacle] = &told[..] else {
        panic!("{told:?}");
    };
    assert!(obstacle.contains(other.as_str()), "{obstacle}");
    let (_, statement) = obstacle.rsplit_once("run: ").unwrap();
    context.server.run(&[statement]).await.unwrap();
    assert_eq!(obstacles().await, [""; 0]);
}

/// By hand, while it was loaded: nobody else would let the user in again.
pub(crate) async fn the_user_of_a_target_that_was_dropped_is_let_in(context: Arc<Context>) {
    let scene = Scene::new(&context, "dropped").await;
    let password = scene.make().await.unwrap();
    let mut loading = scene.session(&password).await.unwrap();
    fill(&context, &mut loading).await;
    drop(loading);
    let database = scene.names().database.mysql();
    let drop = format!("DROP DATABASE {database}");
    context.server.run(&[drop]).await.unwrap();
    assert_eq!(scene.give_up().await.unwrap(), Ended::Done);
    assert_eq!(scene.rows().await, "0");
    assert_eq!(scene.limit().await, Some(3));
    let create = format!("CREATE DATABASE {database}");
    context.server.run(&[create]).await.unwrap();
    assert!(scene.is_let_in().await);
}
