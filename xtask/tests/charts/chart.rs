//! A chart, rendered by the helm that the cluster's tests have.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use xtask::command::{self, Ended};
use xtask::tools::{self, Module, Tools};
use xtask::{skip, workspace};

/// Objects by kind and name; what is in a namespace of its own has that, too.
pub(super) type Objects = BTreeMap<String, Value>;

/// One of the two, with what must be given.
pub(super) struct Chart {
    pub(super) name: &'static str,
    required: Value,
    helm: PathBuf,
    home: tempfile::TempDir,
}

impl Chart {
    /// Nothing where helm cannot be had; then the test of this name is noted as skipped.
    pub(super) fn agent(test: &str) -> Option<Self> {
        let required = json!({ "relay": { "url": "https://relay.example.com" } });
        Self::new("adit-agent", required, test)
    }

    /// Likewise.
    pub(super) fn relay(test: &str) -> Option<Self> {
        let issuer = json!({ "url": "https://gitlab.example.com", "audiences": ["adit"] });
        let required = json!({ "config": { "authorities": { "oidc": { "issuers": [issuer] } } } });
        Self::new("adit-relay", required, test)
    }

    fn new(name: &'static str, required: Value, test: &str) -> Option<Self> {
        if let Err(why) = tools::available(&[Module::Helm]) {
            skip::skipped(test, &format!("{why:#}"));
            return None;
        }
        Some(Self {
            name,
            required,
            helm: Tools::ready(&[Module::Helm]).unwrap().helm(),
            home: tempfile::tempdir().unwrap(),
        })
    }

    /// What `values.yaml` says.
    pub(super) fn values(&self) -> Value {
        let file = self.folder().join("values.yaml");
        serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    }

    /// With these values beside those that must be given.
    pub(super) fn rendered(&self, values: &Value) -> Objects {
        self.templated(&["template"], values)
    }

    /// Likewise, for a cluster of that version.
    pub(super) fn rendered_for(&self, kubernetes: &str, values: &Value) -> Objects {
        self.templated(&["template", "--kube-version", kubernetes], values)
    }

    /// Likewise, without a look at the schema.
    pub(super) fn unchecked(&self, values: &Value) -> Objects {
        self.templated(&["template", "--skip-schema-validation"], values)
    }

    fn templated(&self, args: &[&str], values: &Value) -> Objects {
        let values = over(&self.required, values);
        let args = [args, &["--namespace", HOME, self.name]].concat();
        let ended = self.helm(&args, &values);
        assert!(ended.status.success(), "{values}: {}", ended.stderr);
        objects(&ended.stdout)
    }

    /// What is shown to whoever installs it.
    pub(super) fn notes(&self, values: &Value) -> String {
        let install = [
            "install",
            "--dry-run=client",
            "--namespace",
            HOME,
            self.name,
        ];
        let ended = self.helm(&install, &over(&self.required, values));
        assert!(ended.status.success(), "{values}: {}", ended.stderr);
        let (_, notes) = ended.stdout.split_once("\nNOTES:\n").unwrap();
        notes.to_owned()
    }

    /// What is said of these values, which are all that is given.
    pub(super) fn refusal(&self, values: &Value) -> String {
        self.refused(self.name, values)
    }

    /// As [`Self::refusal`], beside those that must be given.
    pub(super) fn refusal_of(&self, values: &Value) -> String {
        self.refusal_of_release(self.name, values)
    }

    /// Likewise, of a release that is called so.
    pub(super) fn refusal_of_release(&self, release: &str, values: &Value) -> String {
        self.refused(release, &over(&self.required, values))
    }

    fn refused(&self, release: &str, values: &Value) -> String {
        let ended = self.helm(&["template", release], values);
        assert!(!ended.status.success(), "{release}: {values} is taken");
        ended.stderr
    }

    fn helm(&self, args: &[&str], values: &Value) -> Ended {
        let mut helm = Command::new(&self.helm);
        helm.env_clear().env("HOME", self.home.path());
        helm.args(args).arg(self.folder()).args(["--values", "-"]);
        command::finish(&mut helm, &values.to_string(), Duration::from_secs(60)).unwrap()
    }

    fn folder(&self) -> PathBuf {
        workspace::root().join("deploy/charts").join(self.name)
    }
}

/// One object's values over another's, as helm lays them.
pub(super) fn over(under: &Value, over: &Value) -> Value {
    match (under, over) {
        (Value::Object(under), Value::Object(above)) => {
            let mut both = under.clone();
            for (key, value) in above {
                let below = both.remove(key).unwrap_or_default();
                both.insert(key.clone(), self::over(&below, value));
            }
            both.into()
        }
        (_, above) => above.clone(),
    }
}

/// Config files among them are read, too.
fn objects(yaml: &str) -> Objects {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap();
    let mut objects = Objects::new();
    for mut object in documents.into_iter().filter(|object| !object.is_null()) {
        let text = |at: &str| {
            object
                .pointer(at)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (kind, name, namespace) = (
            text("/kind"),
            text("/metadata/name"),
            text("/metadata/namespace"),
        );
        let mut key = format!("{kind} {name}");
        if !["", HOME].contains(&namespace) {
            key += &format!(" in {namespace}");
        }
        for file in ["agent.yaml", "relay.yaml"] {
            if let Some(config) = object["data"].get_mut(file) {
                *config = serde_saphyr::from_str(config.as_str().unwrap()).unwrap();
            }
        }
        let before = objects.insert(key.clone(), object);
        assert!(before.is_none(), "{key} is there twice");
    }
    objects
}

/// The namespace that each is installed in.
pub(super) const HOME: &str = "home";
/// What passes for a certificate at a glance.
pub(super) const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
