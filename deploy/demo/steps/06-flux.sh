# Roles of others count, too: Flux's, bound to the group of all jobs
kubectl auth can-i create gitrepositories.source.toolkit.fluxcd.io --namespace flux-system
kubectl get gitrepositories --namespace flux-system
