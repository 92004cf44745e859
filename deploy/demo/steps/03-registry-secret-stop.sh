# The on_stop job takes them away: `delete` is enough; kubectl would wait for the end, may not look, and does not mind
kubectl delete secret registry --namespace flux-system
kubectl delete secret registry --namespace flux-system --ignore-not-found
