//! The threat model names tests. A name that is none would be a promise that nobody keeps.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn sources(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, all);
        } else if name.ends_with(".rs") {
            all.push(path);
        }
    }
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("docs/security.md")).expect("it is there");
    let spans = text.split('`').skip(1).step_by(2);
    let named: Vec<_> = spans.filter(|span| span.matches('_').count() >= 4 && !span.contains(['.', ' '])).collect();
    assert!(named.len() > 20, "{named:?}");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let code: String = files.iter().map(|file| fs::read_to_string(file).expect("text")).collect();
    for name in named {
        assert!(code.contains(&format!("fn {name}(")), "{name} is no test");
    }
}
