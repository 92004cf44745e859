# The job takes its deployment away
kubectl delete --filename app.yaml
