# needs: a real node
# A command's exit code comes back, and a folder is copied both ways
code=0; kubectl exec deployment/hello -- sh -c 'exit 42' || code=$?
[ $code -eq 42 ]
pod=$(kubectl get pods --selector=app=hello --output=jsonpath='{.items[0].metadata.name}')
mkdir -p folder && echo content >folder/file
kubectl cp folder "$pod:/tmp/folder"
kubectl cp "$pod:/tmp/folder" copy
cmp folder/file copy/file
