//! `kubectl cp` of a folder, there and back.

use std::{collections::BTreeMap, fs, path::Path};

use libtest_mimic::Trial;

use crate::{
    client::Client,
    harness::{Needs, trials_by_carrier},
    large::noise,
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials_by_carrier![Needs::Pods; folder_copied_there_and_back_is_the_same]
}

fn folder_copied_there_and_back_is_the_same(world: &World, client: &Client) {
    world.bench();
    let job = world.job(client);
    let here = job.folder().join("there");
    fs::create_dir_all(here.join("deep/deeper")).unwrap();
    fs::write(here.join("noise"), noise(4 << 20)).unwrap();
    fs::write(here.join("empty"), "").unwrap();
    fs::write(here.join("deep/two words"), "text\n").unwrap();
    for n in 0..50 {
        fs::write(here.join(format!("deep/deeper/{n}")), noise(n * 100)).unwrap();
    }
    let there = format!("bench:/tmp/{}", world.name("copied"));
    job.kubectl("cp there").arg(&there).ok();
    job.kubectl("cp").arg(&there).arg("back").ok();
    assert!(
        contents(&here) == contents(&job.folder().join("back")),
        "the copy is not the same"
    );
}

/// Files below a folder, by their paths in it.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path
                    .strip_prefix(folder)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}
