# `apply` needs one verb more than one would guess: it reads what is there first
kubectl create secret generic registry --namespace flux-system --from-literal=key=value --dry-run=client --output=yaml >secret.yaml
refused kubectl apply --filename secret.yaml
says 'User "gitlab:ci_job:9001" cannot get resource "secrets"'
