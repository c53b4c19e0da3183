//! What a dump holds, table by table: gathered while it passes, appended to the object, and read from it again.
//!
//! | file | its one job |
//! |---|---|
//! | `figures.rs` | gathers the figures in bounded memory, and sums them up |
//! | `frame.rs` | writes them as a zstd skippable frame |
//! | `read.rs` | finds that frame in an object as it passes, and reads it |

mod figures;
mod frame;
mod read;

pub use figures::{Figures, Finished, TableId};
pub use read::{ContentsError, ContentsReader};
