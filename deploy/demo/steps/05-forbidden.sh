# RBAC forbids what nobody allowed, and its message names our user
refused kubectl get secrets --namespace flux-system
grep --quiet 'User "gitlab:ci_job:9001" cannot list resource "secrets"' said
refused kubectl get nodes
grep --quiet 'User "gitlab:ci_job:9001" cannot list resource "nodes"' said
