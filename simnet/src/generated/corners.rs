//! Hostile corners.

use super::Generated;
use crate::model::Record;
use crate::world::Step;

impl Generated {
    pub(super) fn write_corners(&mut self) {}

    pub(super) fn corner(
        &self, _apex: &[u8], _prefix: &[u8], _name: &[u8], _qtype: u16, _out: &mut Vec<Record>,
    ) -> Option<Step> {
        None
    }
}
