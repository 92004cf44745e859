# only: GitLab
# The kubeconfig that GitLab put into the job, as it is; the job's image has the relay's CA
export SSL_CERT_FILE="$ADIT_RELAY_CA"
kubectl --kubeconfig gitlab.kubeconfig config get-contexts
kubectl --kubeconfig gitlab.kubeconfig --context group/app:demo auth whoami
