//! One process works on a server, and the server knows which.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use db_operator::provider::{Expected, Fence, ProviderError, open};
use sqlx::{ConnectOptions, Connection};

use crate::context::{Context, desired};

pub(crate) async fn a_superseded_process_can_do_nothing(context: Arc<Context>) {
    let cluster = context.unique("");
    let names = context.names("fenced");
    let wanted = desired(&names);
    // One administrator each, so that the log tells them apart; the server takes both for the same cluster's.
    let (first_admin, second_admin) =
        (context.administrator().await, context.administrator().await);
    let first = open(context.config(&first_admin), Fence::new(&cluster, || true));
    let verifier = first.verifier(&context.password());
    let identity = first.inspect().await.unwrap().identity.unwrap();
    first.expect(Expected::new(Some(&identity), None));
    first.ensure_role(&wanted, Some(&verifier)).await.unwrap();

    let second = open(context.config(&second_admin), Fence::new(&cluster, || true));
    second.observe(&names).await.unwrap();
    let took_over = context.server.log(&first_admin.user).await.unwrap().len();

    // Paused in the storm, awake again: each thing that it tries. Its sessions are gone; new ones do not get far.
    let mut ended = 0;
    for _ in 0..4 {
        for outcome in [
            first.ensure_database(&wanted).await.err(),
            first.ensure_role(&wanted, Some(&verifier)).await.err(),
            first.survey().await.err(),
        ] {
            match outcome {
                Some(ProviderError::Superseded { .. }) => ended += 1,
                // The session that was ended while it was idle.
                Some(ProviderError::Unreachable { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(ended >= 9, "{ended}");
    for line in &context.server.log(&first_admin.user).await.unwrap()[took_over..] {
        let allowed = [
            "",
            "SET SESSION",
            "INSERT INTO db_operator.sessions",
            "SELECT CAST(e.epoch AS SIGNED)",
        ];
        let harmless = line.command == "Connect" || line.command == "Quit";
        assert!(
            harmless
                || allowed[1..]
                    .iter()
                    .any(|start| line.statement.starts_with(start))
                || line.statement.is_empty(),
            "after the takeover: {line:?}"
        );
    }
    assert_eq!(second.observe(&names).await.unwrap().database, None);
    second.ensure_database(&wanted).await.unwrap();
}

/// Whoever learns the name of a lock that is free can take it. That makes nobody a session of ours.
pub(crate) async fn a_lock_that_somebody_else_took_names_nobody(context: Arc<Context>) {
    let cluster = context.unique("");
    let administrator = context.administrator().await;
    let names = context.names("taken");
    let first = open(
        context.config(&administrator),
        Fence::new(&cluster, || true),
    );
    let password = context.password();
    crate::context::create(first.as_ref(), &desired(&names), &password).await;
    first.close().await;
    // As it is when the server went down under a session, and its id is of another one by now.
    let token = format!("{:032x}", rand::random::<u128>());
    let row = format!(
        "INSERT INTO db_operator.sessions (token, cluster_id, epoch, connection_id) \
         VALUES ('{token}', '{cluster}', 1, 4000000000)"
    );
    context.server.run(&[row]).await.unwrap();
    let mut tenant = context.tenant(&names, &password).await.unwrap();
    let lock = format!("SELECT GET_LOCK('db_operator/{token}', 0)");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock))
        .execute(&mut tenant)
        .await
        .unwrap();
    let second = open(
        context.config(&administrator),
        Fence::new(&cluster, || true),
    );
    second.observe(&names).await.unwrap();
    tenant.ping().await.unwrap();
    let left = format!("SELECT COUNT(*) FROM db_operator.sessions WHERE token = '{token}'");
    assert_eq!(
        context.server.value(&left).await.unwrap().as_deref(),
        Some("0")
    );
    tenant.close().await.unwrap();
    // What is closed in order takes its own along.
    second.close().await;
    let left = format!("SELECT COUNT(*) FROM db_operator.sessions WHERE cluster_id = '{cluster}'");
    assert_eq!(
        context.server.value(&left).await.unwrap().as_deref(),
        Some("0")
    );
}

pub(crate) async fn only_one_of_many_wins(context: Arc<Context>) {
    let cluster = context.unique("");
    let administrator = context.administrator().await;
    let names = context.names("race");
    let providers: Vec<_> = (0..6)
        .map(|_| {
            open(
                context.config(&administrator),
                Fence::new(&cluster, || true),
            )
        })
        .collect();
    let tries = providers.iter().map(|provider| provider.observe(&names));
    futures::future::join_all(tries).await;
    // However they met: one goes on, and all others have to end. The first call may find that its idle session was
    // ended by a later one.
    for provider in &providers {
        drop(provider.observe(&names).await);
    }
    let mut working = 0;
    for provider in &providers {
        match provider.observe(&names).await {
            Ok(_) => working += 1,
            Err(ProviderError::Superseded { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(working, 1);
}

pub(crate) async fn clusters_and_people_are_left_alone(context: Arc<Context>) {
    let administrator = context.administrator().await;
    let names = context.names("two");
    let one = open(context.config(&administrator), context.fence());
    one.observe(&names).await.unwrap();
    let mut person = context
        .server
        .options()
        .username(&administrator.user)
        .password(&administrator.password)
        .connect()
        .await
        .unwrap();
    let cluster = context.unique("");
    for _ in 0..3 {
        let other = open(
            context.config(&administrator),
            Fence::new(&cluster, || true),
        );
        other.observe(&names).await.unwrap();
    }
    let sessions =
        format!("SELECT COUNT(*) FROM db_operator.sessions WHERE cluster_id = '{cluster}'");
    assert_eq!(
        context.server.value(&sessions).await.unwrap().as_deref(),
        Some("1")
    );
    one.observe(&names).await.unwrap();
    person.ping().await.unwrap();
    person.close().await.unwrap();
    one.close().await;
}

pub(crate) async fn who_does_not_lead_does_nothing(context: Arc<Context>) {
    let administrator = context.administrator().await;
    let leads = Arc::new(AtomicBool::new(false));
    let cluster = context.unique("");
    let asked = Arc::clone(&leads);
    let fence = Fence::new(&cluster, move || asked.load(Ordering::SeqCst));
    let provider = open(context.config(&administrator), fence);
    let names = context.names("idle");
    assert_eq!(
        provider.observe(&names).await,
        Err(ProviderError::NotLeading)
    );
    let epochs = format!("SELECT COUNT(*) FROM db_operator.epochs WHERE cluster_id = '{cluster}'");
    // The table may not be there yet if this is the first scenario to come.
    if let Ok(count) = context.server.value(&epochs).await {
        assert_eq!(count.as_deref(), Some("0"));
    }
    leads.store(true, Ordering::SeqCst);
    provider.observe(&names).await.unwrap();
    provider.close().await;
    let left = format!("SELECT COUNT(*) FROM db_operator.sessions WHERE cluster_id = '{cluster}'");
    assert_eq!(
        context.server.value(&left).await.unwrap().as_deref(),
        Some("0")
    );
}

pub(crate) async fn one_process_shares_its_epoch(context: Arc<Context>) {
    let administrator = context.administrator().await;
    let fence = context.fence();
    let names = context.names("share");
    let one = open(context.config(&administrator), fence.clone());
    one.observe(&names).await.unwrap();
    let two = open(context.config(&administrator), fence.clone());
    two.observe(&names).await.unwrap();
    one.observe(&names).await.unwrap();
    let epoch = format!(
        "SELECT epoch FROM db_operator.epochs WHERE cluster_id = '{}'",
        fence.cluster_id()
    );
    assert_eq!(
        context.server.value(&epoch).await.unwrap().as_deref(),
        Some("1")
    );
}

/// Several instances may lead to one server, and all of them begin when a process does.
pub(crate) async fn one_process_enters_once_however_often_it_meets_the_server(
    context: Arc<Context>,
) {
    let administrator = context.administrator().await;
    let cluster = context.unique("");
    let names = context.names("meet");
    // The first epoch is founded, the next one raised.
    for epoch in ["1", "2"] {
        let fence = Fence::new(&cluster, || true);
        let providers: Vec<_> = (0..6)
            .map(|_| open(context.config(&administrator), fence.clone()))
            .collect();
        let tries = providers.iter().map(|provider| provider.observe(&names));
        for answer in futures::future::join_all(tries).await {
            answer.unwrap();
        }
        let found = format!("SELECT epoch FROM db_operator.epochs WHERE cluster_id = '{cluster}'");
        assert_eq!(
            context.server.value(&found).await.unwrap().as_deref(),
            Some(epoch)
        );
    }
}

/// A backup holds an epoch of then, which nobody takes for a newer leader's.
pub(crate) async fn a_server_that_was_restored_is_entered_again(context: Arc<Context>) {
    let administrator = context.administrator().await;
    let names = context.names("restored");
    let fence = context.fence();
    let cluster = fence.cluster_id().to_owned();
    let former = open(
        context.config(&administrator),
        Fence::new(&cluster, || true),
    );
    former.observe(&names).await.unwrap();
    former.close().await;
    let mut config = context.config(&administrator);
    config.max_connections = 4;
    let leader = open(config, fence.clone());
    leader.observe(&names).await.unwrap();
    let restored = format!(
        "UPDATE db_operator.epochs SET epoch = 1, process = 'another' WHERE cluster_id = '{cluster}'"
    );
    context.server.run(&[restored]).await.unwrap();
    // One session is open; another one has to be registered.
    for answer in futures::future::join_all((0..2).map(|_| leader.observe(&names))).await {
        answer.unwrap();
    }
    leader.close().await;
    let again = open(context.config(&administrator), fence);
    again.observe(&names).await.unwrap();
    again.close().await;
    let epoch = format!("SELECT epoch FROM db_operator.epochs WHERE cluster_id = '{cluster}'");
    assert_eq!(
        context.server.value(&epoch).await.unwrap().as_deref(),
        Some("2")
    );
}

/// Whoever rolled back too far is told so, and changes nothing.
pub(crate) async fn tables_of_a_newer_version_are_left_alone(context: Arc<Context>) {
    let administrator = context.administrator().await;
    let names = context.names("newer");
    let first = open(context.config(&administrator), context.fence());
    first.observe(&names).await.unwrap();
    first.close().await;
    let layout = |layout: &str| {
        format!("UPDATE db_operator.meta SET value = '{layout}' WHERE name = 'layout'")
    };
    context.server.run(&[&layout("2")]).await.unwrap();
    let older = open(context.config(&administrator), context.fence());
    let refused = older.observe(&names).await.unwrap_err();
    older.close().await;
    context.server.run(&[&layout("1")]).await.unwrap();
    assert!(
        matches!(refused, ProviderError::Unsupported(_)),
        "{refused}"
    );
    assert!(refused.to_string().contains("newer version"), "{refused}");
}
