//! From an object in the store back to a database.
//!
//! In the order of the work:
//!
//! | place | its one job |
//! |---|---|
//! | `run.rs` | from the task to its result |
//! | `prepare.rs`, `load.rs` | everything that must be right before; what a load needs, and what it comes to |
//! | `fetch/` | the object, by signed requests for several of its ranges at once |
//! | `decode.rs`, `object.rs` | hashes and decompresses it; whether it is the one of its manifest, and a whole dump |
//! | `postgresql/` | loads an archive of PostgreSQL |
//! | `mysql.rs`, `rewrite/` | loads the SQL of MySQL and MariaDB; rewrites it as it passes |
//! | `tool.rs`, `login.rs` | runs the vendor's tool; how this process itself logs in |
//! | `check/` | whether what is there now is what was dumped |
//! | `pulse.rs` | sees whether the server works while nothing else moves |
//! | `meter.rs`, `failure.rs` | what has moved so far; why it failed |

mod check;
mod decode;
mod failure;
mod fetch;
mod load;
mod login;
mod meter;
mod mysql;
mod object;
mod postgresql;
mod prepare;
mod pulse;
pub mod rewrite;
pub mod run;
mod tool;
