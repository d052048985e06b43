//! Bugs that tests plant, to show that they would be caught. Without the feature `planted`
//! nothing of this is in the code.

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// A result now and then loses its pairs.
    DropResult,
    /// A result ends its lookup twice.
    EndTwice,
    /// A late result counts once more.
    AcceptLate,
    /// What a fan-out cap left out is not told.
    ForgetStub,
    /// The fan-out cap is not looked at.
    IgnoreFanOut,
    /// A node of a closed level becomes a hub.
    LateHub,
    /// A timeout is told as "nothing there".
    FailureAsEmpty,
    /// A wildcard probe becomes a node.
    LeakProbe,
    /// What is queued leaves although the job was cancelled.
    AskAfterCancel,
    /// A lookup that is queued twice is asked twice.
    AskTwice,
    /// A later round is asked before its time.
    AskEarly,
    /// A result of an earlier round is taken for this one.
    OldRound,
    /// Exclusions and lists are not looked at.
    AskExcluded,
    /// A task that brought nothing stays lost.
    ForgetLost,
    /// Parts of two sendings are put together.
    MixParts,
}

/// The bug that is planted, if any.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bugs {
    #[cfg(feature = "planted")]
    planted: Option<Planted>,
}

impl Bugs {
    /// With one bug.
    #[cfg(feature = "planted")]
    pub const fn with(bug: Planted) -> Self {
        Self { planted: Some(bug) }
    }

    /// Whether this one is planted.
    #[cfg(feature = "planted")]
    pub fn has(self, bug: Planted) -> bool {
        self.planted == Some(bug)
    }

    /// Whether this one is planted: never, in what users get.
    #[cfg(not(feature = "planted"))]
    pub const fn has(self, _: Planted) -> bool {
        false
    }
}
