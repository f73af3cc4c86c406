use super::{Disk, ROOT, Refusal, Syncs};

fn sync(disk: &mut Disk, node: u64) -> Result<(), Refusal> {
    let begun = disk.begin_sync(node).unwrap();
    disk.end_sync(begun)
}

/// The bytes of a file that has a name.
fn bytes(disk: &Disk, name: &str) -> Option<Vec<u8>> {
    let node = disk.find(ROOT, name).ok()?;
    Some(disk.read(node, 0, usize::MAX).unwrap().to_vec())
}

#[test]
fn a_file_needs_two_syncs_for_its_bytes_and_its_name() {
    let (mut without_name, mut without_bytes) = (0, 0);
    for seed in 0..200 {
        let mut disk = Disk::default();
        let both = disk.make_file(ROOT, "both", 0o600).unwrap();
        disk.write(both, 0, b"abc").unwrap();
        sync(&mut disk, both).unwrap();
        sync(&mut disk, ROOT).unwrap();
        let one = disk.make_file(ROOT, "no name", 0o600).unwrap();
        disk.write(one, 0, b"abc").unwrap();
        sync(&mut disk, one).unwrap();
        disk.write(both, 0, b"x").unwrap();
        disk.cut(seed);
        assert!(matches!(bytes(&disk, "both").unwrap().as_slice(), b"abc" | b"xbc"), "seed {seed}");
        without_bytes += usize::from(bytes(&disk, "both").unwrap() == b"abc");
        match bytes(&disk, "no name") {
            None => without_name += 1,
            Some(bytes) => assert_eq!(bytes, b"abc", "seed {seed}"),
        }
    }
    assert!((20..180).contains(&without_name), "{without_name}");
    assert!((20..180).contains(&without_bytes), "{without_bytes}");
}

#[test]
fn the_same_seed_leaves_the_same() {
    let left = |seed| {
        let mut disk = Disk::default();
        for name in ["a", "b", "c"] {
            let node = disk.make_file(ROOT, name, 0o600).unwrap();
            disk.write(node, 100, &[7; 5000]).unwrap();
        }
        disk.rename(ROOT, "a", "b").unwrap();
        let loss = disk.cut(seed);
        (loss, ["a", "b", "c"].map(|name| bytes(&disk, name)))
    };
    assert!((0..50).all(|seed| left(seed) == left(seed)));
    assert!((0..50).any(|seed| left(seed) != left(0)));
}

#[test]
fn a_file_that_was_removed_comes_back_unless_its_folder_was_synced() {
    let mut came_back = 0;
    for seed in 0..100 {
        let mut disk = Disk::default();
        let node = disk.make_file(ROOT, "a", 0o600).unwrap();
        disk.write(node, 0, b"abc").unwrap();
        sync(&mut disk, node).unwrap();
        sync(&mut disk, ROOT).unwrap();
        disk.remove(ROOT, "a", false).unwrap();
        assert_eq!(bytes(&disk, "a"), None);
        let mut synced = Disk { nodes: disk.nodes.clone(), ..Disk::default() };
        sync(&mut synced, ROOT).unwrap();
        synced.cut(seed);
        assert_eq!(bytes(&synced, "a"), None, "seed {seed}");
        disk.cut(seed);
        came_back += usize::from(bytes(&disk, "a").is_some_and(|bytes| bytes == b"abc"));
    }
    assert!((10..90).contains(&came_back), "{came_back}");
}

#[test]
fn a_folder_whose_name_is_lost_takes_along_what_is_in_it() {
    let mut disk = Disk::default();
    let folder = disk.make_folder(ROOT, "folder", 0o700).unwrap();
    let file = disk.make_file(folder, "file", 0o600).unwrap();
    sync(&mut disk, file).unwrap();
    sync(&mut disk, folder).unwrap();
    assert_eq!(disk.remove(ROOT, "folder", true), Err(Refusal::NotEmpty));
    let lost = (0..100).any(|seed| {
        let mut copy = Disk { nodes: disk.nodes.clone(), ..Disk::default() };
        copy.cut(seed);
        copy.find(ROOT, "folder").is_err()
    });
    assert!(lost);
    sync(&mut disk, ROOT).unwrap();
    for seed in 0..100 {
        disk.cut(seed);
        assert_eq!(disk.find(disk.find(ROOT, "folder").unwrap(), "file"), Ok(file));
    }
}

#[test]
fn a_sync_that_is_ignored_saves_nothing_and_one_that_fails_says_so() {
    for (syncs, answer) in [(Syncs::Ignored, Ok(())), (Syncs::Failing, Err(Refusal::Broken))] {
        let mut lost = 0;
        for seed in 0..100 {
            let mut disk = Disk::default();
            let node = disk.make_file(ROOT, "a", 0o600).unwrap();
            disk.write(node, 0, &[1; 512]).unwrap();
            sync(&mut disk, node).unwrap();
            sync(&mut disk, ROOT).unwrap();
            disk.syncs = syncs;
            disk.write(node, 0, &[2; 512]).unwrap();
            assert_eq!(sync(&mut disk, node), answer);
            disk.cut(seed);
            lost += usize::from(bytes(&disk, "a").unwrap() == [1; 512]);
            assert_eq!(disk.syncs, Syncs::Honest);
        }
        assert!(lost > 10, "{syncs:?}: {lost}");
    }
}

#[test]
fn a_full_disk_takes_no_byte_more_and_what_is_removed_makes_room() {
    let mut disk = Disk { space: Some(3 * 4096), ..Disk::default() };
    let node = disk.make_file(ROOT, "a", 0o600).unwrap();
    let handle = disk.open(node);
    disk.write(node, 0, &[1; 5000]).unwrap();
    let other = disk.make_file(ROOT, "b", 0o600).unwrap();
    disk.write(other, 0, &[1]).unwrap();
    assert_eq!(disk.used(), 3 * 4096);
    assert_eq!(disk.write(other, 0, &[1; 4097]), Err(Refusal::Full));
    assert_eq!(disk.read(other, 0, 10), Ok(&[1][..]));
    disk.write(node, 0, &[2; 8192]).unwrap();
    disk.remove(ROOT, "a", false).unwrap();
    assert_eq!(disk.used(), 3 * 4096, "it is open");
    assert!(!disk.is_stale(handle));
    disk.close(handle);
    assert!(disk.is_stale(handle));
    assert_eq!(disk.used(), 4096);
    disk.write(other, 0, &[1; 4097]).unwrap();
    disk.writes_fail = true;
    assert_eq!(disk.write(other, 0, &[2]), Err(Refusal::Broken));
    assert_eq!(disk.read(other, 0, 1), Ok(&[1][..]));
}
