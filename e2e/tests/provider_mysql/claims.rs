//! The claim table.

use std::sync::Arc;

use db_operator::provider::claim::{Decision, Request, decide};
use db_operator::provider::{
    Claim, Claimant, Fence, Login, Names, Observed, Origin, Ours, Provider, ProviderError, Removed,
    open,
};

use crate::context::{Context, claim, desired};

pub(crate) async fn claims_are_written_once(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("claim");
    let ours = claim(&names, &context.unique(""));
    provider.write_claim(&ours, None).await.unwrap();
    assert_eq!(
        provider.observe(&names).await.unwrap().claims,
        std::slice::from_ref(&ours)
    );

    // A rival, which saw nothing, and one that wants half of it.
    let mut rival = claim(&names, &context.unique(""));
    let moved =
        |error: Result<(), ProviderError>| matches!(error, Err(ProviderError::ClaimMoved { .. }));
    assert!(moved(provider.write_claim(&rival, None).await));
    rival.names.database = context.names("half").database;
    assert!(moved(provider.write_claim(&rival, None).await));
    assert_eq!(
        provider.observe(&names).await.unwrap().claims,
        std::slice::from_ref(&ours)
    );

    // Changed by somebody who saw it, then by somebody who saw what is no longer there.
    let mut released = ours.clone();
    released.released = true;
    provider.write_claim(&released, Some(&ours)).await.unwrap();
    assert!(moved(provider.write_claim(&released, Some(&ours)).await));
    provider
        .write_claim(&released, Some(&released))
        .await
        .unwrap();
    assert_eq!(
        provider.observe(&names).await.unwrap().claims,
        std::slice::from_ref(&released)
    );

    // A rival forgets nothing of ours.
    rival.names = names.clone();
    provider.forget_claim(&rival).await.unwrap();
    assert_eq!(
        provider.observe(&names).await.unwrap().claims,
        std::slice::from_ref(&released)
    );
    provider.forget_claim(&released).await.unwrap();
    provider.forget_claim(&released).await.unwrap();
    assert_eq!(provider.observe(&names).await.unwrap().claims, []);
}

pub(crate) async fn claims_tell_names_apart(context: Arc<Context>) {
    let provider = context.provider().await;
    let stem = context.unique("");
    let cluster = context.unique("");
    for end in ["a", "A", "ä", "á"] {
        let name = format!("{stem}{end}");
        let names = context.named(&name, &name);
        let ours = claim(&names, &cluster);
        provider.write_claim(&ours, None).await.unwrap();
        assert_eq!(provider.observe(&names).await.unwrap().claims, [ours]);
    }
    let all: Vec<_> = provider.survey().await.unwrap().claims;
    assert_eq!(
        all.iter()
            .filter(|claim| claim.claimant.cluster_id == cluster)
            .count(),
        4
    );
}

/// A provider whose cluster has an object for these names.
struct Object {
    provider: Arc<dyn Provider>,
    claimant: Claimant,
    names: Names,
}

impl Object {
    async fn new(context: &Context, stem: &str) -> Self {
        let administrator = context.administrator().await;
        let cluster_id = context.unique("cluster");
        let fence = Fence::new(cluster_id.clone(), || true);
        Self {
            provider: open(context.config(&administrator), fence),
            claimant: Claimant {
                cluster_id,
                namespace: "team-a".to_owned(),
                name: "orders".to_owned(),
            },
            names: context.names(stem),
        }
    }

    /// What stands there, and what follows for the object, which adopts nothing.
    async fn decided(&self) -> (Observed, Decision) {
        let observed = self.provider.observe(&self.names).await.unwrap();
        let request = Request {
            names: &self.names,
            claimant: &self.claimant,
            uid: "5f0e",
            take_over_from: &[],
            adopts: false,
            adoptable: None,
        };
        let decision = decide(&request, &observed);
        (observed, decision)
    }

    async fn claim(&self) {
        let (_, Decision::Write { claim, .. }) = self.decided().await else {
            panic!("the names are free")
        };
        assert_eq!(claim.database, Origin::Creating);
        assert_eq!(claim.role, Origin::Creating);
        self.provider.write_claim(&claim, None).await.unwrap();
    }

    async fn held(&self) -> (Observed, Claim) {
        match self.decided().await {
            (observed, Decision::Continue(claim)) => (observed, claim),
            (observed, other) => panic!("{observed:?} {other:?}"),
        }
    }

    async fn is_refused(&self) -> bool {
        matches!(self.decided().await.1, Decision::Refuse(_))
    }

    async fn give_up(&self) {
        let (observed, held) = self.held().await;
        let removal = held.removal(&observed);
        assert!(removal.database && removal.role);
        assert_eq!(self.provider.remove(&removal).await, Ok(Removed::Done));
        self.provider.forget_claim(&held).await.unwrap();
    }
}

/// A character set that only CREATE DATABASE refuses here. What the platform makes by that name meanwhile is the
/// platform's, empty or not.
pub(crate) async fn what_was_never_made_is_not_ours(context: Arc<Context>) {
    let object = Object::new(&context, "unm_ade").await;
    let Object {
        provider, names, ..
    } = &object;
    let schema = names.database.mysql();
    object.claim().await;
    let mut wanted = desired(names);
    wanted.mysql.character_set = Some("nonsense".to_owned());
    let password = context.password();
    let verifier = provider.verifier(&password);
    provider
        .ensure_role(&wanted, Some(&verifier))
        .await
        .unwrap();
    provider.ensure_database(&wanted).await.unwrap_err();
    let (observed, held) = object.held().await;
    assert_eq!(
        (held.database, held.role),
        (Origin::Creating, Origin::Created)
    );
    let removal = held.removal(&observed);
    assert_eq!((removal.database, removal.role), (false, true));

    wanted.mysql.character_set = None;
    for fill in ["CREATE TABLE {}.t (a INT)", "DO 0"] {
        let by_hand = format!("CREATE DATABASE {schema}");
        context.server.run(&[by_hand]).await.unwrap();
        context
            .server
            .run(&[fill.replace("{}", &schema)])
            .await
            .unwrap();
        assert!(object.is_refused().await, "{fill}");
        let refused = provider.ensure_database(&wanted).await.unwrap_err();
        assert!(matches!(refused, ProviderError::Busy { .. }), "{refused}");
        let (observed, _) = object.decided().await;
        let removal = held.removal(&observed);
        assert_eq!((removal.database, removal.role), (false, false));
        context
            .server
            .run(&[format!("DROP DATABASE {schema}")])
            .await
            .unwrap();
    }
    provider.ensure_database(&wanted).await.unwrap();
    let login = provider.login(names, &password).await.unwrap();
    assert_eq!(login, Login::Accepted);
    let (_, held) = object.held().await;
    assert_eq!(
        (held.database, held.role),
        (Origin::Created, Origin::Created)
    );
    object.give_up().await;
}

/// A crash, or a connection that broke, after a CREATE was sent and before anybody noted what came of it.
pub(crate) async fn what_a_crash_left_half_made_is_ours(context: Arc<Context>) {
    let object = Object::new(&context, "cra_sh").await;
    let Object {
        provider, names, ..
    } = &object;
    let wanted = desired(names);
    let password = context.password();
    let verifier = provider.verifier(&password);
    object.claim().await;
    let begun = |column: &str| {
        format!(
            "UPDATE db_operator.claims SET {column} = TRUE WHERE database_name = '{}'",
            names.database
        )
    };
    let account = format!("'{}'@'%'", names.role);
    context
        .server
        .run(&[
            begun("role_begun"),
            format!("CREATE USER {account} {}", context.identified(&password)),
        ])
        .await
        .unwrap();
    let (observed, held) = object.held().await;
    assert_eq!(observed.role.as_ref().unwrap().ours, Ours::Yes);
    assert_eq!(held.role, Origin::Creating);
    provider
        .ensure_role(&wanted, Some(&verifier))
        .await
        .unwrap();
    assert_eq!(object.held().await.1.role, Origin::Created);

    let schema = names.database.mysql();
    context
        .server
        .run(&[
            begun("database_begun"),
            format!("CREATE DATABASE {schema}"),
            format!("CREATE TABLE {schema}.t (a INT)"),
        ])
        .await
        .unwrap();
    assert!(object.is_refused().await, "it is not as a CREATE leaves it");
    context
        .server
        .run(&[format!("DROP TABLE {schema}.t")])
        .await
        .unwrap();
    let (observed, held) = object.held().await;
    assert_eq!(observed.database.as_ref().unwrap().ours, Ours::Yes);
    assert!(held.removal(&observed).database, "it may be dropped");
    let survey = provider.survey().await.unwrap();
    assert_eq!(survey.of(names), observed);
    provider.ensure_database(&wanted).await.unwrap();
    let login = provider.login(names, &password).await.unwrap();
    assert_eq!(login, Login::Accepted);
    assert_eq!(object.held().await.1.database, Origin::Created);
    assert_eq!(provider.ensure_database(&wanted).await.unwrap(), []);
    object.give_up().await;
}

/// Dropped by hand, and made again because that was asked for.
pub(crate) async fn what_is_made_anew_is_ours_again(context: Arc<Context>) {
    let object = Object::new(&context, "ane_w").await;
    let Object {
        provider, names, ..
    } = &object;
    let wanted = desired(names);
    let verifier = provider.verifier(&context.password());
    object.claim().await;
    let account = format!("'{}'@'%'", names.role);
    for drop in [
        "DO 0".to_owned(),
        format!("DROP DATABASE {}", names.database.mysql()),
        format!("DROP USER {account}"),
    ] {
        context.server.run(&[drop]).await.unwrap();
        provider
            .ensure_role(&wanted, Some(&verifier))
            .await
            .unwrap();
        provider.ensure_database(&wanted).await.unwrap();
        let (_, held) = object.held().await;
        assert_eq!(
            (held.database, held.role),
            (Origin::Created, Origin::Created)
        );
    }
    object.give_up().await;
}

/// Claims of the former version say only that something was made. They go on.
pub(crate) async fn tables_of_the_former_version_are_brought_up_to_date(context: Arc<Context>) {
    let object = Object::new(&context, "upgrade").await;
    let wanted = desired(&object.names);
    let verifier = object.provider.verifier(&context.password());
    object.claim().await;
    object
        .provider
        .ensure_role(&wanted, Some(&verifier))
        .await
        .unwrap();
    object.provider.ensure_database(&wanted).await.unwrap();
    object.provider.close().await;
    context
        .server
        .run(&[
            "ALTER TABLE db_operator.claims DROP COLUMN database_begun, DROP COLUMN role_begun",
            "DROP TABLE db_operator.scratch",
            "DROP TABLE db_operator.restores",
        ])
        .await
        .unwrap();
    let next = Object {
        provider: open(
            context.config(&context.administrator().await),
            Fence::new(object.claimant.cluster_id.clone(), || true),
        ),
        ..object
    };
    let (_, held) = next.held().await;
    assert_eq!(
        (held.database, held.role),
        (Origin::Created, Origin::Created)
    );
    assert_eq!(next.provider.ensure_database(&wanted).await.unwrap(), []);
    next.give_up().await;
}
