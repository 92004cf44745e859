# RBAC forbids what nobody allowed, and its message names our user
refused kubectl get secrets --namespace flux-system
says 'User "gitlab:ci_job:9001" cannot list resource "secrets"'
refused kubectl get nodes
says 'User "gitlab:ci_job:9001" cannot list resource "nodes"'
