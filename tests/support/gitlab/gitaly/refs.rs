//! Where branches point.

use adit_proto::gitaly::{
    InfoRefsRequest, InfoRefsResponse, smart_http_service_server::SmartHttpService,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use tonic::{Request, Response, Status};

use super::{GitalyCall, Handle};

/// Bytes of one message. Small and odd: pkt-lines are cut anywhere.
const PIECE: usize = 37;

#[tonic::async_trait]
impl SmartHttpService for Handle {
    type InfoRefsUploadPackStream = BoxStream<'static, Result<InfoRefsResponse, Status>>;

    async fn info_refs_upload_pack(
        &self,
        request: Request<InfoRefsRequest>,
    ) -> Result<Response<Self::InfoRefsUploadPackStream>, Status> {
        self.admit(request.metadata())?;
        let project = self.project(request.get_ref().repository.as_ref())?;
        self.note(GitalyCall::InfoRefsUploadPack { project });
        let refs = self.repository(project).advertisement();
        let pieces: Vec<_> = refs
            .chunks(PIECE)
            .map(|piece| {
                let data = Bytes::copy_from_slice(piece);
                Ok(InfoRefsResponse { data })
            })
            .collect();
        Ok(Response::new(futures_util::stream::iter(pieces).boxed()))
    }
}
