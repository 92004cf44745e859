# only: GitLab
# ends: the job
# GitLab says that the job is over: what it left running is cut, and its token opens nothing
begin watch kubectl get configmaps --watch
soon grep -q kube-root-ca.crt watch
curl --silent --show-error --fail --output ended --data '{"status":"canceled"}' "$GITLAB_CONTROL/jobs/9001/status"
wait $begun || true
refused kubectl get configmaps
says 'the job has ended'
