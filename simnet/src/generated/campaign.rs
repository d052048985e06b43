//! The campaign.

use super::Generated;

impl Generated {
    pub(super) fn write_campaign(&mut self) {
        self.truth.seed = self.spec.seed;
    }
}
