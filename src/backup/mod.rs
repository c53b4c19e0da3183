//! The life of a `Backup`: observe → next → act → report, in the same rooms as a Database's.
//!
//! | file | its one job |
//! |---|---|
//! | `controller.rs` | when a Backup is looked at |
//! | `walk.rs` | the order of a pass |
//! | `state.rs` | what follows a state, and what it asks for (pure) |
//! | `step.rs` | one step from a state to the next: what is persisted with it |
//! | `pass.rs` | what a pass knows, and how it writes what it found |
//! | `wait.rs`, `turn.rs`, `slots.rs` | before the beginning: what is waited for, whose turn it is of one Database, and which namespace is next (both pure) |
//! | `subject.rs`, `prepare.rs` | the Database behind it; all that a backup needs from outside |
//! | `start.rs`, `create.rs`, `plan.rs`, `secret.rs`, `window.rs` | the upload; the Job, in the place of one that is not ours; how large it becomes, in which parts (pure); what the Job's Secret holds; the signed parts that it has (pure) |
//! | `job/` | from a template to the Job |
//! | `follow.rs`, `progress.rs` | how far the Job is, and how far its dump |
//! | `judge.rs`, `ended.rs`, `pod.rs`, `refusal.rs` | what became of it; what an ended pod means; what a pod says; why there is none (all pure) |
//! | `finish.rs`, `verdict.rs` | from the Job's report to an object that counts; what a commit that did not come about means (pure) |
//! | `clean_up.rs`, `sweep.rs` | what is left behind is stopped and aborted; so is what a crash left |
//! | `time_limit.rs` | how long a backup may take, and who says so (pure) |
//! | `observed.rs`, `watching.rs`, `last_words.rs`, `memory.rs`, `image.rs` | what is kept of Jobs and pods; their watches; what those said that are gone; what need not be looked at again yet; the operator's own image |

mod clean_up;
pub mod controller;
mod create;
mod ended;
mod finish;
mod follow;
pub mod image;
pub mod job;
pub mod judge;
mod last_words;
pub mod memory;
pub mod observed;
mod pass;
mod plan;
pub mod pod;
mod prepare;
mod progress;
mod refusal;
mod secret;
pub mod slots;
mod start;
pub mod state;
mod step;
mod subject;
mod sweep;
pub mod time_limit;
pub mod turn;
mod verdict;
mod wait;
mod walk;
pub mod watching;
pub mod window;

pub(crate) use wait::wake_others as wake_waiting;

/// What all passes over Backups share.
pub struct Shared {
    /// How many may run at a time.
    pub limits: turn::Limits,
    /// How long a finished Job is kept for its log, in seconds.
    pub keep_seconds: u32,
    /// The operator's own image.
    pub image: image::OwnImage,
    /// The places that were given away.
    pub places: turn::Places,
    /// What is remembered of each Backup.
    pub memory: memory::Memory,
    /// The signed requests that were handed out.
    pub windows: window::Windows,
    /// The Jobs and their pods.
    pub work: watching::Work,
}

impl Shared {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(limits: turn::Limits, keep_seconds: u32, image: image::OwnImage) -> Self {
        Self {
            limits,
            keep_seconds,
            image,
            places: turn::Places::default(),
            memory: memory::Memory::default(),
            windows: window::Windows::default(),
            work: watching::Work::default(),
        }
    }
}
