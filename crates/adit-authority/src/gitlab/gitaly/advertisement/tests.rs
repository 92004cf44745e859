use proptest::prelude::*;

use super::*;

const SERVICE: &str = "# service=git-upload-pack\n";

fn id(digit: char) -> String {
    digit.to_string().repeat(40)
}

fn packet(line: &str) -> String {
    format!("{:04x}{line}", line.len() + LENGTH)
}

/// What git sends of these refs.
fn advertised(refs: &[(&str, String)]) -> String {
    let mut text = packet(SERVICE) + "0000";
    for (at, (name, id)) in refs.iter().enumerate() {
        let can = if at == 0 {
            "\0multi_ack side-band-64k"
        } else {
            ""
        };
        text += &packet(&format!("{id} {name}{can}\n"));
    }
    text + "0000"
}

/// In one piece.
fn read(text: &str) -> Result<Option<String>, BadAdvertisement> {
    read_in_pieces([text.as_bytes()])
}

fn read_in_pieces<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<String>, BadAdvertisement> {
    let mut advertisement = Advertisement::default();
    for piece in pieces {
        if advertisement.read(piece)?.is_break() {
            break;
        }
    }
    let commit = advertisement.finish()?;
    Ok(commit.map(|id| id.to_string()))
}

#[test]
fn the_default_branch_is_what_head_is_at() {
    let refs = [
        ("HEAD", id('a')),
        ("refs/heads/main", id('b')),
        ("refs/heads/other", id('a')),
    ];
    assert_eq!(read(&advertised(&refs)), Ok(Some(id('a'))));
    let long = [("HEAD", "c".repeat(64))];
    assert_eq!(read(&advertised(&long)), Ok(Some("c".repeat(64))));
}

#[test]
fn without_a_head_it_is_main_or_else_master() {
    let (main, master) = ("refs/heads/main", "refs/heads/master");
    let cases = [
        (vec![(main, id('a')), (master, id('b'))], Some(id('a'))),
        (vec![(master, id('b')), (main, id('a'))], Some(id('a'))),
        (
            vec![("refs/heads/a", id('c')), (master, id('b'))],
            Some(id('b')),
        ),
        (vec![("refs/heads/mainly", id('c'))], None),
        (vec![("refs/tags/main", id('c'))], None),
    ];
    for (refs, expected) in cases {
        assert_eq!(read(&advertised(&refs)), Ok(expected), "{refs:?}");
    }
}

#[test]
fn a_repository_without_a_commit_has_no_branch() {
    assert_eq!(read(&advertised(&[])), Ok(None));
    let capabilities = [("capabilities^{}", id('0'))];
    assert_eq!(read(&advertised(&capabilities)), Ok(None));
}

#[test]
fn nothing_is_read_after_head() {
    let whole = advertised(&[("HEAD", id('a'))]) + "what comes later";
    let mut advertisement = Advertisement::default();
    assert_eq!(
        advertisement.read(whole.as_bytes()),
        Ok(ControlFlow::Break(()))
    );
}

#[test]
fn what_is_malformed_or_breaks_off_is_refused() {
    let whole = advertised(&[("refs/heads/main", id('a'))]);
    let cut = |bytes: usize| whole.get(..bytes).unwrap().to_owned();
    let cases = [
        String::new(),
        cut(3),
        cut(whole.len() - 4),
        cut(whole.len() - 1),
        "<!DOCTYPE html>".to_owned(),
        "0003".to_owned(),
        "+004".to_owned(),
    ];
    for text in cases {
        assert_eq!(read(&text), Err(BadAdvertisement), "{text}");
    }
}

proptest! {
    #[test]
    fn it_may_be_cut_anywhere(
        names in prop::collection::vec("(HEAD|refs/heads/(main|master|[a-z]{1,9}))", 0..6),
        cuts in prop::collection::vec(1_usize..50, 1..40),
    ) {
        let digits = "0123456789abcdef".chars().map(id);
        let refs: Vec<_> = names.iter().map(String::as_str).zip(digits).collect();
        let whole = advertised(&refs);
        let mut rest = whole.as_bytes();
        let mut pieces = Vec::new();
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        prop_assert_eq!(read_in_pieces(pieces), read(&whole));
    }

    #[test]
    fn no_bytes_make_it_panic_or_hold_more_than_a_line(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut advertisement = Advertisement::default();
        for piece in bytes.chunks(7) {
            if !matches!(advertisement.read(piece), Ok(ControlFlow::Continue(()))) {
                break;
            }
            prop_assert!(advertisement.line.len() < 0x1_0000);
        }
        let _ = advertisement.finish();
    }
}
