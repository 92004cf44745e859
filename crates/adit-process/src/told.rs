//! How people are told of a file that a configuration names. Called by whatever cannot use one.

use std::path::{self, Path, PathBuf};

/// By its whole path: a relative one goes by the folder that the process was started in, which the reader may not know.
#[must_use]
pub fn whole(path: &Path) -> PathBuf {
    path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_path_is_told_with_the_folder() {
        let folder = std::env::current_dir().unwrap();
        assert_eq!(whole(Path::new("a/b")), folder.join("a/b"));
        assert_eq!(whole(Path::new("/a/b")), Path::new("/a/b"));
        assert_eq!(whole(Path::new("")), Path::new(""));
    }
}
