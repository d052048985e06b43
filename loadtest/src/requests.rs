//! The requests of a load: each distinct one once.

use serde_json::{Value, json};

use crate::scenario::{Kind, Load, Size};

/// What wildcard probes derive from, in every job.
const SALT: u64 = 1;
/// How long a job may take.
const DEADLINE_MS: u64 = 3_600_000;

/// Where jobs can start.
#[derive(Debug, Clone, Default)]
pub struct Ground {
    /// Where the campaign of the simulated internet starts.
    pub seeds: Vec<String>,
    /// These, and what else there is to start from.
    pub pool: Vec<String>,
    /// The present, RFC 3339; now where it is not said.
    pub at: Option<String>,
    /// Whether long lists may have names that do not exist.
    pub invents: bool,
}

/// A request for a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The kind of job it is.
    pub size: String,
    /// What it does.
    pub kind: Kind,
    /// As the API takes it.
    pub body: Value,
    /// As `kudzu pivot` takes the same, but for a plan of its own.
    pub args: Vec<String>,
    /// That plan.
    pub plan_text: Option<String>,
}

impl Ground {
    /// Of a simulated internet.
    pub fn simulated(truth: &kudzu_simnet::Truth) -> Self {
        let more = truth.planned.iter().filter(|p| p.resolves).map(|p| &p.domain);
        let more = more.chain(truth.decoys.iter().map(|d| &d.domain));
        let mut pool = truth.seeds.clone();
        for domain in more {
            if !pool.contains(domain) {
                pool.push(domain.clone());
            }
        }
        Self { seeds: truth.seeds.clone(), pool, at: Some(truth.as_of.clone()), invents: true }
    }

    /// Of a list of somebody's own.
    pub fn listed(pool: Vec<String>, at: Option<String>) -> Self {
        Self { seeds: pool.iter().take(1).cloned().collect(), pool, at, invents: false }
    }

    /// The indicators of one variant of a job.
    fn indicators(&self, size: &Size, variant: usize) -> Vec<String> {
        let Some(count) = size.seeds else { return self.seeds.clone() };
        let known = count.min(self.pool.len());
        let from = variant * count;
        let mut taken: Vec<String> =
            (from..from + known).map(|at| self.pool[at % self.pool.len()].clone()).collect();
        // A longer list has names that do not exist, as such lists have; on a cluster of somebody
        // else's, which would ask others for them, it is shorter.
        let count = if self.invents { count } else { known };
        taken.extend((known..count).map(|n| format!("n{variant}-{n}.load.example")));
        taken
    }

    fn request(&self, size: &Size, variant: usize) -> Request {
        let seeds = self.indicators(size, variant);
        let mut body = json!({
            "kind": size.kind, "seeds": seeds, "allow_private": true, "salt": SALT,
            "sources": size.sources, "no_sources": size.no_sources,
            "budgets": { "deadline_ms": DEADLINE_MS },
        });
        let mut args = vec!["--salt".into(), SALT.to_string(), "--allow-private".into()];
        let mut say = |flag: &str, value: String| args.extend([format!("--{flag}"), value]);
        say("deadline", format!("{DEADLINE_MS}ms"));
        if let Some(at) = &self.at {
            body["at"] = json!(at);
            say("at", at.clone());
        }
        if let Some(plan) = &size.plan {
            body["plan"] = json!(plan);
            say("plan", plan.clone());
        }
        if let Some(text) = &size.plan_text {
            body["plan_text"] = json!(text);
        }
        size.sources.iter().for_each(|source| say("source", source.clone()));
        size.no_sources.iter().for_each(|source| say("no-source", source.clone()));
        let limits = [
            ("depth", size.depth.map(u64::from)),
            ("nodes", size.nodes.map(u64::from)),
            ("fan_out", size.fan_out.map(u64::from)),
            ("questions", size.questions),
        ];
        for (limit, value) in limits.into_iter().filter_map(|(limit, value)| Some((limit, value?))) {
            body["budgets"][limit] = json!(value);
            say(&limit.replace('_', "-"), value.to_string());
        }
        args.push("--".into());
        args.extend(seeds);
        Request { size: size.name.clone(), kind: size.kind, body, args, plan_text: size.plan_text.clone() }
    }
}

/// The kinds of jobs of a load.
pub fn sizes(load: &Load) -> Vec<Size> {
    if load.mix.is_empty() { vec![Size::default()] } else { load.mix.clone() }
}

/// Variants of a kind of job.
pub fn variants(size: &Size) -> usize {
    size.variants.unwrap_or(1).max(1)
}

/// All distinct requests of a load: by kind of job, and each kind by variant.
pub fn requests(load: &Load, ground: &Ground) -> Vec<Request> {
    let sizes = sizes(load);
    sizes.iter().flat_map(|size| (0..variants(size)).map(|v| ground.request(size, v))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    fn ground() -> Ground {
        let pool: Vec<String> = (0..5).map(|n| format!("d{n}.test")).collect();
        Ground { seeds: pool[..2].to_vec(), pool, at: Some("2026-06-01T00:00:00Z".into()), invents: true }
    }

    fn load(mix: &str) -> Load {
        let text = format!("about = \"x\"\n[[load]]\nname = \"l\"\njobs = 1\n{mix}");
        Scenario::parse("test", &text).unwrap().loads.remove(0)
    }

    #[test]
    fn the_job_of_a_world_starts_where_its_campaign_does() {
        let all = requests(&load(""), &ground());
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].body["seeds"], json!(["d0.test", "d1.test"]));
        let args = all[0].args.join(" ");
        let want =
            "--salt 1 --allow-private --deadline 3600000ms --at 2026-06-01T00:00:00Z -- d0.test d1.test";
        assert_eq!(args, want);
    }

    #[test]
    fn variants_start_elsewhere() {
        let mix = "[[load.mix]]\nname = \"a\"\nseeds = 2\nvariants = 3\ndepth = 2\nsources = [\"dns\"]\n";
        let all = requests(&load(mix), &ground());
        let seeds: Vec<&Value> = all.iter().map(|r| &r.body["seeds"]).collect();
        let want = [["d0.test", "d1.test"], ["d2.test", "d3.test"], ["d4.test", "d0.test"]].map(|s| json!(s));
        assert_eq!(seeds, want.iter().collect::<Vec<_>>());
        assert_eq!(all[0].body["budgets"]["depth"], 2);
        assert!(all[0].args.join(" ").contains("--source dns --depth 2 -- d0.test"));
    }

    #[test]
    fn a_long_list_has_names_that_do_not_exist() {
        let mix = "[[load.mix]]\nname = \"a\"\nkind = \"enrich\"\nseeds = 7\n";
        let all = requests(&load(mix), &ground());
        assert_eq!(all[0].body["seeds"][6], "n0-6.load.example");
        // Not where others would be asked for them.
        let theirs = requests(&load(mix), &Ground { invents: false, ..ground() });
        assert_eq!(theirs[0].body["seeds"].as_array().map(Vec::len), Some(ground().pool.len()));
        assert_eq!(all[0].body["kind"], "enrich");
    }
}
