//! Settings: defaults, then `kudzu.toml`, then the environment, then flags. Every error is
//! found at once.
//!
//! The environment names a key with `KUDZU_`, the section, two underscores and the key:
//! `KUDZU_DNS__RESOLVERS=192.0.2.53,192.0.2.54`.

use std::path::{Path, PathBuf};

mod check;
mod check_service;
mod cluster;
mod error;
mod layers;
mod sections;
mod service;
mod value;
mod vars;

pub use cluster::{Archive, Place, PlaceError};
pub use error::{ConfigErrors, Origin, Problem};
pub use sections::{
    Certs, Config, Coordinator, DeclaredSource, Dns, HttpLimits, PackFiles, Pdns, PolicyDefaults, Rdap,
    Worker,
};
pub use service::{Api, Auth, Broker, Client, Redis, Scope, Telemetry, Tenant, Token, is_tenant};
pub use value::{REDACTED, Secret};
pub use vars::{Process, Vars};

use layers::Layers;

impl Config {
    /// Reads all layers. Without `file`, the first that exists of `./kudzu.toml` and
    /// `$XDG_CONFIG_HOME/kudzu/kudzu.toml` (or `~/.config`) is read. Overrides are keys
    /// with dots (`dns.resolvers`) and their text.
    ///
    /// # Errors
    /// Every problem there is, each with its place.
    pub fn load(
        file: Option<&Path>,
        vars: &dyn Vars,
        overrides: &[(String, String)],
    ) -> Result<Self, ConfigErrors> {
        let mut layers = Layers::default();
        if let Some(path) = file.map(Path::to_owned).or_else(|| Self::default_file(vars)) {
            layers.file(&path);
        }
        layers.environment(vars);
        layers.overrides(overrides);
        let mut config = layers.resolve();
        check::check(&mut config, &mut layers);
        layers.finish().map(|()| config)
    }

    /// From the text of a file alone; `name` is what errors call it.
    ///
    /// # Errors
    /// Every problem there is, each with its line.
    pub fn parse(name: &Path, text: &str) -> Result<Self, ConfigErrors> {
        let mut layers = Layers::default();
        layers.text(name, text);
        let mut config = layers.resolve();
        check::check(&mut config, &mut layers);
        layers.finish().map(|()| config)
    }

    /// The file that is read where none is named.
    pub fn default_file(vars: &dyn Vars) -> Option<PathBuf> {
        let set = |name| vars.get(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let home = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|h| h.join(".config")));
        let here = Some(PathBuf::from("kudzu.toml"));
        [here, home.map(|h| h.join("kudzu").join("kudzu.toml"))].into_iter().flatten().find(|p| p.is_file())
    }

    /// All settings in force as TOML, secrets redacted.
    pub fn dump(&self) -> String {
        // Every type here has a TOML form; should that change, say so where it is read.
        toml::to_string_pretty(self).unwrap_or_else(|e| format!("# cannot be written: {e}\n"))
    }
}
