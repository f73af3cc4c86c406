use super::*;
#[test]
fn counts() {
    let mut m = std::collections::BTreeMap::new();
    for c in Version::ALL.into_iter().flat_map(cases) {
        *m.entry((c.version, format!("{:?}", c.flaw), c.is_open())).or_insert(0) += 1;
    }
    for (k, v) in m {
        println!("{k:?} {v}");
    }
}
