# A deployment: apply, watch the rollout, wait
kubectl apply --filename app.yaml
kubectl rollout status deployment/hello --timeout=60s
kubectl wait --for=condition=Available deployment/hello --timeout=30s
kubectl get pods
