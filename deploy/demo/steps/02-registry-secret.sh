# The registry's credentials go into the cluster: RBAC allows secrets `create`
kubectl create secret docker-registry registry --namespace flux-system --docker-server=registry.example.com --docker-username=deploy --docker-password=not-a-password
