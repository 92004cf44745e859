# A command in a pod, with something on its standard input
printf 'through the tunnel and back\n' >input
kubectl exec --stdin deployment/hello -- sh -c 'read -r line; echo "$line"' <input
