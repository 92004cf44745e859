//! Gitaly's calls, by the generated client.

use std::net::SocketAddr;

use adit_proto::gitaly::{
    GetTreeEntriesRequest, InfoRefsRequest, Repository, TreeEntryRequest,
    commit_service_client::CommitServiceClient, smart_http_service_client::SmartHttpServiceClient,
    tree_entry_response::ObjectType,
};
use adit_tests::{
    Caller, GitLab, gitlab,
    gitlab::{GitalyCall, GitalyTransport, Grpc, gitaly_token},
    pki, scenario,
};
use tokio::net::UnixStream;
use tonic::{Code, Request, Status};

const FILE: &str = ".gitlab/agents/prod/config.yaml";
const TEXT: &str = "ci_access: {}\n";

struct Place {
    gitlab: GitLab,
    project: u64,
    commit: String,
    wire: Grpc,
    shown: String,
}

async fn start() -> Place {
    let gitlab = gitlab().start().await;
    let (project, commit) = {
        let mut world = gitlab.world();
        let project = world.project("group/app");
        let repository = world.repository(project);
        let other = ".gitlab/agents/staging/config.yaml";
        (
            project,
            repository.commit(&[(FILE, TEXT), (other, "{}"), ("README.md", "x")]),
        )
    };
    let address = gitlab.gitaly().address.strip_prefix("tcp://").unwrap();
    let wire = Grpc::connect(address.parse::<SocketAddr>().unwrap()).await;
    let shown = gitaly_token(&gitlab.gitaly().token, 0);
    Place {
        gitlab,
        project,
        commit,
        wire,
        shown,
    }
}

impl Place {
    fn repository(&self) -> Repository {
        let path = self.gitlab.world().relative_path(self.project);
        Repository {
            storage_name: "default".to_owned(),
            relative_path: path.display().to_string(),
            ..Repository::default()
        }
    }

    fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.shown.parse().unwrap());
        metadata.insert("gitaly-feature-double", "true".parse().unwrap());
        request
    }

    async fn refs(&self) -> Result<String, Status> {
        let request = self.signed(InfoRefsRequest {
            repository: Some(self.repository()),
            ..InfoRefsRequest::default()
        });
        let mut client = SmartHttpServiceClient::with_origin(self.wire.clone(), self.wire.origin());
        let mut answers = client.info_refs_upload_pack(request).await?.into_inner();
        let mut text = Vec::new();
        while let Some(answer) = answers.message().await? {
            text.extend_from_slice(&answer.data);
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    async fn file(&self, path: &str, max_size: i64) -> Result<(ObjectType, Vec<u8>), Status> {
        let request = self.signed(TreeEntryRequest {
            repository: Some(self.repository()),
            revision: self.commit.clone().into(),
            path: path.to_owned().into(),
            limit: 0,
            max_size,
        });
        let mut client = CommitServiceClient::with_origin(self.wire.clone(), self.wire.origin());
        let mut answers = client.tree_entry(request).await?.into_inner();
        let first = answers.message().await?.expect("one message at least");
        let mut bytes = first.data.to_vec();
        while let Some(answer) = answers.message().await? {
            assert_eq!((answer.oid.as_str(), answer.size), ("", 0));
            bytes.extend_from_slice(&answer.data);
        }
        assert_eq!(usize::try_from(first.size).unwrap(), bytes.len());
        Ok((first.r#type(), bytes))
    }

    async fn tree(&self, path: &str) -> Result<Vec<String>, Status> {
        let request = self.signed(GetTreeEntriesRequest {
            repository: Some(self.repository()),
            revision: self.commit.clone().into(),
            path: path.to_owned().into(),
            recursive: true,
            ..GetTreeEntriesRequest::default()
        });
        let mut client = CommitServiceClient::with_origin(self.wire.clone(), self.wire.origin());
        let mut answers = client.get_tree_entries(request).await?.into_inner();
        let mut paths = Vec::new();
        while let Some(answer) = answers.message().await? {
            let entries = answer.entries.into_iter();
            paths.extend(entries.map(|entry| String::from_utf8_lossy(&entry.path).into_owned()));
        }
        Ok(paths)
    }
}

#[test]
fn refs_are_gits_own_advertisement() {
    scenario(async {
        let place = start().await;
        let refs = place.refs().await.unwrap();
        assert!(
            refs.starts_with("001e# service=git-upload-pack\n0000"),
            "{refs}"
        );
        assert!(refs.contains(&format!("{} HEAD", place.commit)), "{refs}");
        assert!(refs.contains("refs/heads/main"), "{refs}");
        assert!(refs.ends_with("0000"), "{refs}");
    });
}

#[test]
fn an_empty_repository_has_no_refs() {
    scenario(async {
        let mut place = start().await;
        place.project = place.gitlab.world().project("group/empty");
        let refs = place.refs().await.unwrap();
        assert!(!refs.contains("refs/heads/"), "{refs}");
    });
}

#[test]
fn a_file_comes_whole_or_not_at_all() {
    scenario(async {
        let mut place = start().await;
        let file = place.file(FILE, 131_072).await.unwrap();
        assert_eq!(file, (ObjectType::Blob, TEXT.into()));
        let code = |answer: Result<_, Status>| answer.map_err(|status| status.code()).unwrap_err();
        assert_eq!(code(place.file("gone", 0).await), Code::NotFound);
        assert_eq!(code(place.file(FILE, 3).await), Code::FailedPrecondition);
        let (kind, _) = place.file(".gitlab/agents", 0).await.unwrap();
        assert_eq!(kind, ObjectType::Tree);
        let large = "x".repeat(300_000);
        place.commit = {
            let world = place.gitlab.world();
            world.repository(place.project).commit(&[("large", &large)])
        };
        let (_, bytes) = place.file("large", 0).await.unwrap();
        assert_eq!(bytes.len(), large.len());
    });
}

#[test]
fn a_folder_is_listed_to_its_depth() {
    scenario(async {
        let place = start().await;
        let paths = place.tree(".gitlab/agents").await.unwrap();
        for path in [
            ".gitlab/agents/prod",
            FILE,
            ".gitlab/agents/staging/config.yaml",
        ] {
            assert!(paths.iter().any(|found| found == path), "{paths:?}");
        }
        assert!(!paths.iter().any(|path| path == "README.md"));
        let refused = place.tree("gone").await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let details = String::from_utf8_lossy(refused.details()).into_owned();
        assert!(details.contains("gitaly.GetTreeEntriesError"), "{details}");
        let revision = place.commit.clone();
        let asked = GitalyCall::GetTreeEntries {
            revision,
            path: "gone".to_owned(),
        };
        assert_eq!(place.gitlab.gitaly().calls().last(), Some(&asked));
    });
}

#[test]
fn nobody_reads_without_a_token_of_this_minute() {
    scenario(async {
        let mut place = start().await;
        let token = place.gitlab.gitaly().token.clone();
        for shown in [
            gitaly_token(&token, -60),
            gitaly_token(&token, 60),
            gitaly_token("another", 0),
            format!("Bearer {token}"),
        ] {
            place.shown = shown;
            let refused = place.refs().await.unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied);
        }
        place.shown = gitaly_token(&token, -20);
        assert!(place.refs().await.is_ok());
        assert_eq!(place.gitlab.gitaly().calls().len(), 1);
    });
}

#[test]
fn it_fails_on_order() {
    scenario(async {
        let place = start().await;
        let gitaly = place.gitlab.gitaly();
        gitaly.fail(Some(Status::unavailable("ordered")));
        assert_eq!(place.refs().await.unwrap_err().code(), Code::Unavailable);
        gitaly.fail(None);
        assert!(place.refs().await.is_ok());
    });
}

#[test]
fn it_can_be_reached_in_other_ways() {
    scenario(async {
        for transport in [GitalyTransport::Tls, GitalyTransport::Unix] {
            let mut place = start().await;
            place.gitlab = gitlab().gitaly_over(transport).start().await;
            place.project = place.gitlab.world().project("group/app");
            let address = place.gitlab.gitaly().address.clone();
            place.wire = match transport {
                GitalyTransport::Unix => {
                    let path = address.strip_prefix("unix:").unwrap();
                    Grpc::over(UnixStream::connect(path).await.unwrap()).await
                }
                GitalyTransport::Tcp | GitalyTransport::Tls => {
                    let address = address.strip_prefix("tls://").unwrap();
                    let caller = Caller {
                        address: address.parse().unwrap(),
                        ..place.gitlab.caller()
                    };
                    Grpc::over(caller.tls(pki::HTTP2).await).await
                }
            };
            assert!(place.refs().await.is_ok());
        }
    });
}
