//! The rows of the catalog and of the claim table, as the server gives them.

use serde::Deserialize;

#[derive(Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "a row of a table")]
pub(super) struct ClaimRow {
    pub(super) database_name: String,
    pub(super) role_name: String,
    pub(super) cluster_id: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) created_database: bool,
    pub(super) created_role: bool,
    pub(super) drop_adopted: bool,
    pub(super) released: bool,
    /// The mark that the database carries while it is created, as its connection limit.
    pub(super) database_mark: Option<i32>,
    /// Set while the role is to be created.
    pub(super) role_mark: Option<i32>,
}

/// One database.
#[derive(Clone, Debug, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "a row of the catalog")]
pub(super) struct DatabaseRow {
    pub(super) name: String,
    pub(super) owner: String,
    /// Whether connections are allowed at all.
    pub(super) open: bool,
    /// -1 is no limit, -2 a database whose DROP was interrupted.
    pub(super) connections: i32,
    pub(super) template: bool,
    pub(super) encoding: String,
    pub(super) collation: String,
    /// `LC_CTYPE`.
    pub(super) ctype: String,
    /// Where the collation comes from, as CREATE DATABASE spells it where that is known.
    pub(super) locale_provider: String,
    /// The locale of a provider other than libc.
    pub(super) provider_locale: Option<String>,
    /// The setting `default_transaction_read_only` that a session of its user begins with, if it is set for the
    /// database or for the user.
    pub(super) read_only: Option<Setting>,
    /// Whether the administrator has the owner's privileges now.
    pub(super) owned: bool,
    /// Whether the administrator may grant itself the owner's role.
    pub(super) obtainable: bool,
    /// What PUBLIC may.
    pub(super) public: Vec<String>,
    /// What the owner may.
    pub(super) own: Vec<String>,
    /// What was granted to the administrator.
    pub(super) administrator: Vec<String>,
    /// Whether it is the one that its claim describes.
    pub(super) ours: Option<bool>,
}

/// A setting that sessions begin with (`pg_db_role_setting`).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Setting {
    /// `name=value`.
    pub(super) entry: String,
    /// It is for one database, and not for all.
    pub(super) of_database: bool,
    /// It is for one role, and not for all.
    pub(super) of_role: bool,
    /// The role that it is for, or the user of the database.
    pub(super) role: Option<String>,
}

/// One role.
#[derive(Clone, Debug, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "a row of the catalog")]
pub(super) struct RoleRow {
    pub(super) name: String,
    pub(super) login: bool,
    /// -1 is no limit.
    pub(super) connections: i32,
    pub(super) creates_databases: bool,
    pub(super) expires: bool,
    pub(super) superuser: bool,
    pub(super) creates_roles: bool,
    pub(super) replication: bool,
    pub(super) bypasses_rls: bool,
    /// The powerful roles that it is a member of.
    pub(super) member_of: Vec<String>,
    pub(super) alterable: bool,
    /// Whether the administrator may `SET ROLE` to it now.
    pub(super) assumable: bool,
    /// Whether it is the one that its claim describes.
    pub(super) ours: Option<bool>,
}
