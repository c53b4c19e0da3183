//! A database server of the cluster, as the campaign looks at it past the operator.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::{Api, Client};
use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::cluster::Cluster;
use crate::testing::Session;
use crate::{Error, Result, servers};

/// Texts by name, as in a Secret.
pub type Data = BTreeMap<String, String>;

/// The servers that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    Mariadb,
    /// MySQL.
    Mysql,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Postgres, Self::Mariadb, Self::Mysql];

    /// The server's name in the cluster.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
            Self::Mysql => "mysql",
        }
    }

    /// What `spec.provider` calls it.
    #[must_use]
    pub const fn provider(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Mariadb | Self::Mysql => "mysql",
        }
    }
}

/// One of the cluster's servers.
#[derive(Clone, Debug)]
pub struct Server {
    /// Which.
    pub engine: Engine,
    /// Where it answers.
    pub address: SocketAddr,
    /// `username` and `password` of the operator's administrator.
    pub admin: Data,
    /// The authority of its certificate.
    pub ca: String,
    superuser: Data,
}

impl Server {
    /// Finds a server of the cluster.
    pub async fn find(cluster: &Cluster, client: &Client, engine: Engine) -> Result<Self> {
        let name = engine.name();
        let services: Api<Service> = Api::namespaced(client.clone(), servers::NAMESPACE);
        let service = services
            .get(name)
            .await
            .map_err(Error::trial(format!("find the server {name}")))?;
        let spec = service.spec.unwrap_or_default();
        let address = spec.cluster_ip.unwrap_or_default().parse();
        let port = spec.ports.unwrap_or_default().first().map(|port| port.port);
        let port = u16::try_from(port.unwrap_or_default()).unwrap_or_default();
        let account = async |who: &str| {
            secret(client, servers::NAMESPACE, &format!("{name}-{who}"))
                .await?
                .ok_or_else(|| Error::Precondition(format!("there is no Secret {name}-{who}")))
        };
        Ok(Self {
            engine,
            address: SocketAddr::new(address.map_err(Error::trial("read an address"))?, port),
            admin: account("admin").await?,
            superuser: account("superuser").await?,
            ca: cluster.ca()?.certificate()?,
        })
    }

    /// A server of the test's own, whose superuser the operator works as.
    #[must_use]
    pub fn own(engine: Engine, address: SocketAddr, superuser: Data, ca: String) -> Self {
        Self {
            engine,
            address,
            admin: superuser.clone(),
            ca,
            superuser,
        }
    }

    /// Runs SQL as superuser; returns the first column of its rows. The campaign's own names need no quotes.
    pub async fn ask(&self, database: &str, sql: &str) -> Result<Vec<String>> {
        self.ask_as(&self.superuser, database, sql).await
    }

    /// Runs SQL as this user.
    pub async fn ask_as(&self, who: &Data, database: &str, sql: &str) -> Result<Vec<String>> {
        let asked = async {
            let mut session = self.connect(who, database).await?;
            let rows = session.column(sql).await?;
            session.end().await?;
            Ok::<_, sqlx::Error>(rows)
        };
        let rows = asked.await;
        let user = text(who, "username");
        rows.map_err(Error::trial(format!(
            "as {user} on {} ({})",
            self.engine.name(),
            sql.lines().next().unwrap_or_default()
        )))
    }

    /// A superuser's session.
    pub async fn session(&self, database: &str) -> Result<Session> {
        let opened = self.connect(&self.superuser, database).await;
        opened.map_err(Error::trial(format!("log in to {}", self.engine.name())))
    }

    async fn connect(
        &self,
        who: &Data,
        database: &str,
    ) -> std::result::Result<Session, sqlx::Error> {
        let (user, password) = (text(who, "username"), text(who, "password"));
        let host = self.address.ip().to_string();
        Ok(match self.engine {
            Engine::Postgres => {
                let options = PgConnectOptions::new_without_pgpass()
                    .host(&host)
                    .port(self.address.port())
                    .username(user)
                    .password(password)
                    .database(database)
                    .ssl_mode(PgSslMode::Require)
                    .disable_statement_logging();
                Session::Postgres(Box::new(options.connect().await?))
            }
            Engine::Mariadb | Engine::Mysql => {
                let options = MySqlConnectOptions::new()
                    .host(&host)
                    .port(self.address.port())
                    .username(user)
                    .password(password)
                    .database(database)
                    .ssl_mode(MySqlSslMode::Required)
                    .disable_statement_logging();
                Session::Mysql(Box::new(options.connect().await?))
            }
        })
    }

    /// The database that a superuser starts in.
    #[must_use]
    pub const fn entrance(&self) -> &'static str {
        match self.engine {
            Engine::Postgres => "postgres",
            Engine::Mariadb | Engine::Mysql => "mysql",
        }
    }

    /// A database in which the operator's tables can be asked for: on PostgreSQL they are in one of their own.
    #[must_use]
    pub const fn home(&self) -> &'static str {
        match self.engine {
            Engine::Postgres => "db_operator",
            Engine::Mariadb | Engine::Mysql => "mysql",
        }
    }

    /// Everything on the server whose name begins with `prefix`, and what is claimed by `cluster_id`: one line each.
    pub async fn facts(&self, prefix: &str, cluster_id: &str) -> Result<Vec<String>> {
        let claims = format!(
            "SELECT concat_ws(' ', 'claim', database_name, role_name, namespace, name, created_database, created_role,
               drop_adopted, released) FROM db_operator.claims WHERE cluster_id = '{cluster_id}'"
        );
        let about = match self.engine {
            Engine::Postgres => postgresql_facts(prefix),
            Engine::Mariadb | Engine::Mysql => mysql_facts(prefix),
        };
        let mut facts = Vec::new();
        for sql in about {
            facts.extend(self.ask(self.entrance(), &sql).await?);
        }
        facts.extend(self.ask(self.home(), &claims).await?);
        facts.sort();
        Ok(facts)
    }

    /// The databases and users whose names begin with `prefix`, one line each.
    pub async fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let lists = match self.engine {
            Engine::Postgres => [
                format!(
                    "SELECT concat('database ', datname) FROM pg_database WHERE starts_with(datname, '{prefix}')"
                ),
                format!(
                    "SELECT concat('user ', rolname) FROM pg_roles WHERE starts_with(rolname, '{prefix}')"
                ),
            ],
            Engine::Mariadb | Engine::Mysql => [
                format!(
                    "SELECT CONCAT_WS(' ', 'database', SCHEMA_NAME) FROM information_schema.SCHEMATA WHERE LOCATE('{prefix}', SCHEMA_NAME) = 1"
                ),
                format!(
                    "SELECT CONCAT_WS(' ', 'user', User) FROM mysql.user WHERE LOCATE('{prefix}', User) = 1"
                ),
            ],
        };
        let mut names = Vec::new();
        for sql in lists {
            names.extend(self.ask(self.entrance(), &sql).await?);
        }
        Ok(names)
    }

    /// Removes all of that.
    pub async fn sweep(&self, prefix: &str, cluster_id: &str) -> Result<()> {
        for table in ["claims", "sessions", "epochs"] {
            let sql = format!("DELETE FROM db_operator.{table} WHERE cluster_id = '{cluster_id}'");
            self.ask(self.home(), &sql).await?;
        }
        let (databases, users) = match self.engine {
            Engine::Postgres => (
                format!(
                    "SELECT 'DROP DATABASE \"' || datname || '\" WITH (FORCE)' FROM pg_database WHERE starts_with(datname, '{prefix}')"
                ),
                format!(
                    "SELECT 'DROP ROLE \"' || rolname || '\"' FROM pg_roles WHERE starts_with(rolname, '{prefix}')"
                ),
            ),
            Engine::Mariadb | Engine::Mysql => (
                format!(
                    "SELECT CONCAT('DROP DATABASE `', SCHEMA_NAME, '`') FROM information_schema.SCHEMATA WHERE LOCATE('{prefix}', SCHEMA_NAME) = 1"
                ),
                format!(
                    "SELECT CONCAT('DROP USER `', User, '`@`', Host, '`') FROM mysql.user WHERE LOCATE('{prefix}', User) = 1"
                ),
            ),
        };
        for list in [databases, users] {
            for drop in self.ask(self.entrance(), &list).await? {
                self.ask(self.entrance(), &drop).await?;
            }
        }
        Ok(())
    }
}

fn postgresql_facts(prefix: &str) -> Vec<String> {
    vec![
        format!(
            "SELECT concat_ws(' ', 'database', datname, 'of', pg_get_userbyid(datdba), datacl, datconnlimit, datallowconn)
             FROM pg_database WHERE starts_with(datname, '{prefix}')"
        ),
        format!(
            "SELECT concat_ws(' ', 'role', rolname, rolcanlogin, rolsuper, rolinherit, rolcreaterole, rolcreatedb,
               rolreplication, rolbypassrls, rolconnlimit, rolvaliduntil) FROM pg_roles WHERE starts_with(rolname, '{prefix}')"
        ),
        format!(
            "SELECT concat_ws(' ', 'member', pg_get_userbyid(member), 'of', pg_get_userbyid(roleid), admin_option,
               inherit_option, set_option) FROM pg_auth_members
             WHERE starts_with(pg_get_userbyid(roleid)::text, '{prefix}') OR starts_with(pg_get_userbyid(member)::text, '{prefix}')"
        ),
        format!(
            "SELECT concat_ws(' ', 'setting', pg_get_userbyid(setrole), setconfig) FROM pg_db_role_setting
             WHERE starts_with(pg_get_userbyid(setrole)::text, '{prefix}')"
        ),
    ]
}

fn mysql_facts(prefix: &str) -> Vec<String> {
    vec![
        format!(
            "SELECT CONCAT_WS(' ', 'database', SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME)
             FROM information_schema.SCHEMATA WHERE LOCATE('{prefix}', SCHEMA_NAME) = 1"
        ),
        format!(
            "SELECT CONCAT_WS(' ', 'user', User, Host, plugin, max_user_connections) FROM mysql.user
             WHERE LOCATE('{prefix}', User) = 1"
        ),
        format!(
            "SELECT CONCAT_WS(' ', 'grant', User, Host, Db, Select_priv, Create_priv, Drop_priv, Trigger_priv, Grant_priv)
             FROM mysql.db WHERE LOCATE('{prefix}', User) = 1"
        ),
    ]
}

/// What a Secret holds, if it is there.
pub async fn secret(client: &Client, namespace: &str, name: &str) -> Result<Option<Data>> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = secrets
        .get_opt(name)
        .await
        .map_err(Error::trial(format!("read the Secret {name}")))?;
    Ok(found.map(|secret| {
        let data = secret.data.unwrap_or_default().into_iter();
        data.map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned()))
            .collect()
    }))
}

/// A text of a Secret; empty where it is missing.
#[must_use]
pub fn text<'a>(data: &'a Data, key: &str) -> &'a str {
    data.get(key).map_or("", String::as_str)
}
