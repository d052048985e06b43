//! What must come of a scenario.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A figure, or a ratio of two, and its bound.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Which: `job.complete_s.max`.
    pub figure: String,
    /// Of which arm; of each where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<String>,
    /// Divided by this figure; by the same one where only an arm is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<String>,
    /// Of this arm; of the same one where only a figure is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_arm: Option<String>,
    /// And by this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<f64>,
    /// It is at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// It is at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
}

/// How far a figure may go.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Not above.
    AtMost(f64),
    /// Not below.
    AtLeast(f64),
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// What was looked at.
    pub what: String,
    /// Its value; none where there is no such figure.
    pub value: Option<f64>,
    /// Its bound.
    pub bound: Bound,
    /// Whether the bound holds.
    pub met: bool,
    /// Whether it counts: in a run that was made smaller only losses and errors do.
    pub counts: bool,
}

/// The figures of each arm.
pub type Figures = BTreeMap<String, BTreeMap<String, f64>>;

impl Bound {
    /// Whether it holds. Nothing holds for what is not known.
    pub fn holds(self, value: Option<f64>) -> bool {
        value.is_some_and(|value| match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        })
    }
}

impl Check {
    /// Its bound, where it has exactly one.
    pub fn bound(&self) -> Option<Bound> {
        match (self.at_most, self.at_least) {
            (Some(most), None) => Some(Bound::AtMost(most)),
            (None, Some(least)) => Some(Bound::AtLeast(least)),
            _ => None,
        }
    }

    /// What it looks at in an arm, in words.
    fn what(&self, arm: &str) -> String {
        let of = |figure: &str, arm: &str| match arm {
            "" => figure.to_owned(),
            arm => format!("{figure} of {arm}"),
        };
        let mut what = of(&self.figure, arm);
        if self.over.is_some() || self.over_arm.is_some() {
            let figure = self.over.as_ref().unwrap_or(&self.figure);
            what += &format!(" / {}", of(figure, self.over_arm.as_deref().unwrap_or(arm)));
        }
        self.per.map_or(what.clone(), |per| format!("{what} / {per}"))
    }

    fn value(&self, arm: &str, figures: &Figures) -> Option<f64> {
        let value = figures.get(arm)?.get(&self.figure)?;
        let over = match (&self.over, &self.over_arm) {
            (None, None) => 1.0,
            (figure, over) => {
                let arm = figures.get(over.as_deref().unwrap_or(arm))?;
                *arm.get(figure.as_ref().unwrap_or(&self.figure))?
            }
        };
        Some(value / over / self.per.unwrap_or(1.0)).filter(|value| value.is_finite())
    }
}

/// Looks at all of them; in each arm where none is named.
pub fn judge(checks: &[Check], figures: &Figures, counts: bool) -> Vec<Judged> {
    let mut judged = Vec::new();
    for check in checks {
        let Some(bound) = check.bound() else { continue };
        let arms: Vec<&String> = match &check.arm {
            Some(arm) => vec![arm],
            None => figures.keys().collect(),
        };
        for arm in arms {
            let value = check.value(arm, figures);
            judged.push(Judged { what: check.what(arm), value, bound, met: bound.holds(value), counts });
        }
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let rate = |value: f64| [("job.rate".to_owned(), value), ("job.asked".to_owned(), 20.0)].into();
        [("1".to_owned(), rate(100.0)), ("16".to_owned(), rate(1_500.0))].into()
    }

    fn check(figure: &str) -> Check {
        Check { figure: figure.into(), ..Check::default() }
    }

    #[test]
    fn a_check_without_an_arm_is_for_each() {
        let judged = judge(&[Check { at_least: Some(200.0), ..check("job.rate") }], &figures(), true);
        assert_eq!(judged.iter().map(|j| j.met).collect::<Vec<_>>(), [false, true]);
        assert_eq!(judged[0].what, "job.rate of 1");
    }

    #[test]
    fn an_efficiency_is_a_ratio_of_arms_by_a_number() {
        let linear = Check {
            arm: Some("16".into()),
            over_arm: Some("1".into()),
            per: Some(16.0),
            at_least: Some(0.9),
            ..check("job.rate")
        };
        let judged = &judge(&[linear], &figures(), true)[0];
        assert_eq!((judged.value, judged.met), (Some(0.9375), true));
        assert_eq!(judged.what, "job.rate of 16 / job.rate of 1 / 16");
    }

    #[test]
    fn two_figures_of_one_arm_are_compared() {
        let over = Check {
            arm: Some("1".into()),
            over: Some("job.asked".into()),
            at_most: Some(5.0),
            ..check("job.rate")
        };
        assert!(judge(&[over], &figures(), true)[0].met);
    }

    #[test]
    fn what_is_not_known_is_not_met() {
        let judged = judge(&[Check { at_most: Some(1.0), ..check("other") }], &figures(), true);
        assert!(judged.iter().all(|j| j.value.is_none() && !j.met));
    }
}
