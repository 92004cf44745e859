# The job asks the relay what it may reach, and chooses a context
adit kubeconfig
kubectl config get-contexts
kubectl config use-context group/app:demo
kubectl auth whoami
