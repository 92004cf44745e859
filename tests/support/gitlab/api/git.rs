//! Git over HTTP, for clones and fetches: what Flux's source-controller follows. gitprotocol-http(5).

use http::{Method, StatusCode, header};

use super::Result;
use crate::gitlab::{
    State,
    call::{Answer, Call},
    world::{Visibility, World},
};

pub(super) fn serve(call: &Call, state: &State) -> Result<Answer> {
    let path = call.segments().join("/");
    let (project, asked) = path
        .trim_start_matches('/')
        .split_once(".git/")
        .ok_or_else(|| Answer::not_found(""))?;
    let world = state.world.lock();
    let project = readable_project(call, &world, project)?;
    let repository = world.repository(project);
    match (&call.method, asked) {
        (&Method::GET, "info/refs") if call.parameter("service") == Some("git-upload-pack") => {
            let kind = "application/x-git-upload-pack-advertisement";
            let body = repository.advertisement();
            Ok(uncached(Answer::new(StatusCode::OK, kind, body)))
        }
        (&Method::POST, "git-upload-pack") => {
            let body = repository.upload_pack(&[], &unpacked(call)?);
            let kind = "application/x-git-upload-pack-result";
            Ok(uncached(Answer::new(StatusCode::OK, kind, body)))
        }
        _ => Err(Answer::error(StatusCode::FORBIDDEN, "403 Forbidden")),
    }
}

fn uncached(answer: Answer) -> Answer {
    answer.with(header::CACHE_CONTROL, "no-cache")
}

/// git compresses what it asks when that is long.
fn unpacked(call: &Call) -> Result<Vec<u8>> {
    if call.header("content-encoding") != Some("gzip") {
        return Ok(call.body.to_vec());
    }
    let mut body = Vec::new();
    let mut unpacked = flate2::read::GzDecoder::new(&call.body[..]);
    std::io::Read::read_to_end(&mut unpacked, &mut body)
        .map_err(|_| Answer::error(StatusCode::BAD_REQUEST, "400 Bad request"))?;
    Ok(body)
}

/// By a password: a personal access token with `read_repository`, or a running job's token. Public projects by nobody, too.
fn readable_project(call: &Call, world: &World, path: &str) -> Result<u64> {
    let project = world.find_project(path);
    let may_read = project.is_some_and(|project| {
        project.visibility == Visibility::Public
            || call
                .basic()
                .is_some_and(|(_, password)| is_reader(world, &password, project.id))
    });
    match project.filter(|_| may_read) {
        Some(project) => Ok(project.id),
        None => {
            let answer = Answer::new(
                StatusCode::UNAUTHORIZED,
                "text/plain",
                "HTTP Basic: Access denied",
            );
            Err(answer.with(header::WWW_AUTHENTICATE, "Basic realm=\"GitLab\""))
        }
    }
}

fn is_reader(world: &World, password: &str, project: u64) -> bool {
    let by_token = world.user_by_token(password).is_some_and(|(user, token)| {
        token.has_scope(&["read_repository"]) && world.role_in_project(user.id, project).is_some()
    });
    let by_job = world
        .job_by_token(password)
        .is_some_and(|job| job.project == project);
    by_token || by_job
}
